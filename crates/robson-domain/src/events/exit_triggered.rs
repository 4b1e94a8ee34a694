//! EXIT_TRIGGERED: a position is to be closed.
//!
//! While the entry is under way it is remembered: a fill then goes straight to the exit.
//!
//! Changes: the position is exiting, or cancelled where it was only armed.
//!
//! Refused: where the state of the position does not permit it.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey};
use crate::lifecycle::Happening;
use crate::{ExitReason, PositionId, PositionState, Price, Timestamp};

/// A position is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitTriggered {
    /// The position.
    pub position_id: PositionId,
    /// Why.
    pub reason: ExitReason,
    /// The price that touched the stop.
    pub trigger_price: Option<Price>,
    /// The stop in force.
    pub stop_price: Option<Price>,
    /// When.
    pub timestamp: Timestamp,
}

impl ExitTriggered {
    const fn happening(&self) -> Happening {
        match self.reason {
            ExitReason::TrailingStop => Happening::StopTouched,
            _ => Happening::Close,
        }
    }
}

impl EventBody for ExitTriggered {
    const TYPE: &'static str = "EXIT_TRIGGERED";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.position_keys(self.position_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut position = entities.existing_position(self.position_id)?.clone();
        let before = position.state;
        position.take(self.happening())?;
        let entering = before == PositionState::Entering && position.exit_reason.is_none();
        if position.state == before && !entering {
            return Ok(());
        }
        position.exit_reason = Some(self.reason);
        if position.state == PositionState::Cancelled {
            position.closed_at = Some(self.timestamp);
        }
        if let Some(price) = self.trigger_price {
            position.see_price(price)?;
        }
        entities.replace_position(position, ctx)
    }
}
