//! SIGNAL_DETECTED: a detector saw its entry condition.
//!
//! Changes: the strategy counts a signal.
//!
//! Refused: unless the position is armed and of this symbol and side; the signal that was acted on may come
//! again.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey};
use crate::{
    DetectorId, Json, PositionId, PositionState, Price, Side, SignalId, Symbol, Timestamp, WrongState,
};

/// A detector saw its entry condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalDetected {
    /// The position.
    pub position_id: PositionId,
    /// The signal.
    pub signal_id: SignalId,
    /// The detector run; it gives one signal.
    pub detector_id: DetectorId,
    /// What is traded.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// The price that it was seen at.
    pub price: Price,
    /// What the detector looked at.
    pub indicators: Json,
    /// When.
    pub detected_at: Timestamp,
}

impl EventBody for SignalDetected {
    const TYPE: &'static str = "SIGNAL_DETECTED";
    const AUTHOR: Author = Author::Daemon;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.position_keys(self.position_id)
    }

    fn apply(&self, _ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let position = entities.existing_position(self.position_id)?;
        if position.entry_signal_id == Some(self.signal_id) {
            return Ok(());
        }
        if position.state != PositionState::Armed {
            return Err(WrongState { state: position.state, event: "signal" }.into());
        }
        position.must_be(&self.symbol, self.side)?;
        if let Some(strategy) = position.strategy_id.and_then(|id| entities.strategy_mut(id)) {
            strategy.total_signals += 1;
        }
        Ok(())
    }
}
