//! POSITION_ERROR: a position broke an invariant, or the operator cleared it.
//!
//! Changes: the position is in error; cleared by the operator, it is active if it holds anything, else
//! cancelled.
//!
//! Refused: when what is to be cleared is not in error.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey};
use crate::lifecycle::Happening;
use crate::{PositionId, PositionState};

/// A position broke an invariant, or the operator cleared it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionError {
    /// The position.
    pub position_id: PositionId,
    /// What broke.
    pub error: String,
    /// Whether the program can go on by itself.
    pub recoverable: bool,
    /// Whether the operator cleared it.
    pub cleared: bool,
}

impl EventBody for PositionError {
    const TYPE: &'static str = "POSITION_ERROR";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.position_keys(self.position_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut position = entities.existing_position(self.position_id)?.clone();
        if self.cleared {
            position.take(Happening::Clear)?;
            position.error = None;
            position.exit_reason = None;
        } else {
            position.fault(self.error.clone());
        }
        if position.state == PositionState::Cancelled && position.closed_at.is_none() {
            position.closed_at = Some(ctx.occurred_at);
        }
        entities.replace_position(position, ctx)
    }
}
