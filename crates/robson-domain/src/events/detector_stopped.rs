//! DETECTOR_STOPPED: a detector ended.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::{DetectorId, DetectorStopCause, PositionId};

/// A detector ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectorStopped {
    /// The position.
    pub position_id: PositionId,
    /// The detector run.
    pub detector_id: DetectorId,
    /// Why.
    pub cause: DetectorStopCause,
}

impl EventBody for DetectorStopped {
    const TYPE: &'static str = "DETECTOR_STOPPED";
    const AUTHOR: Author = Author::Daemon;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }
}
