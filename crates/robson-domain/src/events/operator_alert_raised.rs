//! OPERATOR_ALERT_RAISED: something that the operator should know, or that is to be remembered.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::AlertSeverity;

/// Something that the operator should know, or that is to be remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorAlertRaised {
    /// Our word for it.
    pub code: String,
    /// How urgent.
    pub severity: AlertSeverity,
    /// In words.
    pub message: String,
    /// What it is about.
    pub subject_id: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl EventBody for OperatorAlertRaised {
    const TYPE: &'static str = "OPERATOR_ALERT_RAISED";
    const AUTHOR: Author = Author::System;

    fn stream(&self) -> StreamName {
        StreamName::system("alerts")
    }
}
