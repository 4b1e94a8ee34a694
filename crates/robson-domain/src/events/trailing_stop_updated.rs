//! TRAILING_STOP_UPDATED: the stop tightened.
//!
//! Changes: stop, best price and current price of the position, and the risk that it still carries.
//!
//! Refused: unless the position is active, the previous stop is the one in force, the new one is tighter and
//! the best price is not worse.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey};
use crate::lifecycle::Happening;
use crate::{PositionId, Price, Timestamp};

/// The stop tightened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailingStopUpdated {
    /// The position.
    pub position_id: PositionId,
    /// The stop that was in force.
    pub previous_stop: Price,
    /// The stop that is in force from now on.
    pub new_stop: Price,
    /// The price that moved it.
    pub trigger_price: Price,
    /// The best price so far.
    pub favorable_extreme: Price,
    /// How many whole distances the price has gone, where the policy counts them.
    pub completed_spans: Option<i64>,
    /// When.
    pub timestamp: Timestamp,
}

impl EventBody for TrailingStopUpdated {
    const TYPE: &'static str = "TRAILING_STOP_UPDATED";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.position_keys(self.position_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut position = entities.existing_position(self.position_id)?.clone();
        position.take(Happening::StopMoved)?;
        let Self { previous_stop, new_stop, favorable_extreme, .. } = self;
        check(position.trailing_stop_price == Some(*previous_stop), || {
            format!("{previous_stop} is not the stop in force")
        })?;
        check(position.is_tighter(*new_stop, *previous_stop), || {
            format!("stop {new_stop} is not tighter than {previous_stop}")
        })?;
        let worsened =
            position.favorable_extreme.is_some_and(|best| position.is_tighter(best, *favorable_extreme));
        check(!worsened, || format!("best price {favorable_extreme} is worse than the one before"))?;
        if position.favorable_extreme != Some(*favorable_extreme) {
            position.favorable_extreme = Some(*favorable_extreme);
            position.extreme_at = Some(self.timestamp);
        }
        position.trailing_stop_price = Some(*new_stop);
        position.see_price(self.trigger_price)?;
        entities.replace_position(position, ctx)
    }
}
