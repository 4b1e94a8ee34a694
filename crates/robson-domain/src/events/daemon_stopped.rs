//! DAEMON_STOPPED: the daemon ended in an orderly way.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::InstanceId;

/// The daemon ended in an orderly way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStopped {
    /// The run that ends.
    pub instance_id: InstanceId,
    /// Why.
    pub reason: String,
}

impl EventBody for DaemonStopped {
    const TYPE: &'static str = "DAEMON_STOPPED";
    const AUTHOR: Author = Author::System;

    fn stream(&self) -> StreamName {
        StreamName::system("daemon")
    }
}
