//! SIGNAL_REJECTED: stop, size, risk or approval refused a signal.
//!
//! The position stays armed: an only try is followed by `POSITION_DISARMED`, any other by a new detector.

use serde::{Deserialize, Serialize};

use super::{EventBody, EventContext, StreamName, Violation};
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

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![EntityKey::Position(self.position_id)]
    }

    fn apply(&self, _ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let position = entities.existing_position(self.position_id)?;
        step(position.state, Happening::SignalRefused, position.standing())?;
        Ok(())
    }
}
