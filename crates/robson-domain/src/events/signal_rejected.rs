//! SIGNAL_REJECTED: stop, size, risk or approval refused a signal.
//!
//! The position stays armed: an only try is followed by `POSITION_DISARMED`, any other by a new detector.
//!
//! Changes: a decision that waited for its approval is forgotten, and the risk that it reserved is free again.
//!
//! Refused: unless the position is armed.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey};
use crate::lifecycle::{Happening, step};
use crate::{PositionId, SignalId};

/// Stop, size, risk or approval refused a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalRejected {
    /// The position.
    pub position_id: PositionId,
    /// The signal.
    pub signal_id: SignalId,
    /// Our word for the reason.
    pub reason_code: String,
    /// In words.
    pub reason: String,
}

impl EventBody for SignalRejected {
    const TYPE: &'static str = "SIGNAL_REJECTED";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.position_keys(self.position_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let position = entities.existing_position(self.position_id)?;
        step(position.state, Happening::SignalRefused, position.standing())?;
        if position.entry_signal_id != Some(self.signal_id) {
            return Ok(());
        }
        let mut position = position.clone();
        position.forget_entry();
        entities.replace_position(position, ctx)
    }
}
