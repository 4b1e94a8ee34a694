//! DETECTOR_STARTED: a detector waits for the entry condition of an armed position.
//!
//! Refused: unless the position is armed.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey};
use crate::{DetectorId, Json, PositionId, PositionState, WrongState};

/// A detector waits for the entry condition of an armed position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectorStarted {
    /// The position.
    pub position_id: PositionId,
    /// The detector run.
    pub detector_id: DetectorId,
    /// What it waits for.
    pub strategy: String,
    /// What it is set to.
    pub params: Json,
}

impl EventBody for DetectorStarted {
    const TYPE: &'static str = "DETECTOR_STARTED";
    const AUTHOR: Author = Author::Daemon;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![EntityKey::Position(self.position_id)]
    }

    fn apply(&self, _ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        match entities.existing_position(self.position_id)?.state {
            PositionState::Armed => Ok(()),
            state => Err(WrongState { state, event: "start a detector" }.into()),
        }
    }
}
