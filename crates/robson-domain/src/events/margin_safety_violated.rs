//! MARGIN_SAFETY_VIOLATED: a symbol's margin settings at the venue are not what they must be.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::{AccountId, Symbol};

/// A symbol's margin settings at the venue are not what they must be; nothing is sent for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarginSafetyViolated {
    /// The account.
    pub account_id: AccountId,
    /// The symbol.
    pub symbol: Symbol,
    /// What must be set.
    pub expected: String,
    /// What is set.
    pub actual: String,
    /// What the operator can do.
    pub advice: String,
}

impl EventBody for MarginSafetyViolated {
    const TYPE: &'static str = "MARGIN_SAFETY_VIOLATED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }
}
