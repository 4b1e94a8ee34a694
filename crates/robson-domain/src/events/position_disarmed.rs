//! POSITION_DISARMED: a position that held nothing was taken back.
//!
//! Changes: the position is cancelled.
//!
//! Refused: unless it is armed, or in error without holding anything.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey};
use crate::lifecycle::Happening;
use crate::{PositionId, Timestamp};

/// A position that held nothing was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionDisarmed {
    /// The position.
    pub position_id: PositionId,
    /// Why.
    pub reason: String,
    /// When.
    pub disarmed_at: Timestamp,
}

impl EventBody for PositionDisarmed {
    const TYPE: &'static str = "POSITION_DISARMED";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.position_keys(self.position_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut position = entities.existing_position(self.position_id)?.clone();
        position.take(Happening::Disarm)?;
        position.closed_at = Some(self.disarmed_at);
        entities.replace_position(position, ctx)
    }
}
