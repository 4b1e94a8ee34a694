//! DAEMON_STARTED: the daemon began to work.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::InstanceId;

/// The daemon began to work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStarted {
    /// Its version.
    pub version: String,
    /// This run of it.
    pub instance_id: InstanceId,
    /// Test, development or production.
    pub environment: String,
    /// A hash of its settings, without addresses, paths and secrets.
    pub config_hash: String,
}

impl EventBody for DaemonStarted {
    const TYPE: &'static str = "DAEMON_STARTED";
    const AUTHOR: Author = Author::System;

    fn stream(&self) -> StreamName {
        StreamName::system("daemon")
    }
}
