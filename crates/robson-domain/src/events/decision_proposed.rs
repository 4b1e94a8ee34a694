//! DECISION_PROPOSED: a signal led to the decision to enter.
//!
//! Changes: stop, distance and signal of the position.
//!
//! Refused: unless the position is armed and of this symbol and side, the stop lies on the loss side at the
//! distance that is told, from 0.1 to 10 % of the entry, and a quantity is wanted.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::arithmetic::product;
use crate::entities::{Entities, EntityKey};
use crate::{
    DecisionAction, DecisionId, Money, PositionId, PositionState, Price, Quantity, Side, SignalId, Symbol,
    Timestamp, WrongState,
};

/// The nearest stop that is ever admitted, as a fraction of the entry; settings may only narrow it.
const NEAREST: Decimal = Decimal::from_parts(1, 0, 0, false, 3);
/// The farthest.
const FARTHEST: Decimal = Decimal::from_parts(10, 0, 0, false, 2);

/// A signal led to the decision to enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionProposed {
    /// The position.
    pub position_id: PositionId,
    /// The decision.
    pub decision_id: DecisionId,
    /// The signal behind it.
    pub signal_id: SignalId,
    /// What is wanted.
    pub action: DecisionAction,
    /// What to trade.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// The price of the decision.
    pub entry_price: Price,
    /// The technical stop.
    pub stop_price: Price,
    /// Its distance from the entry price.
    pub stop_distance: Price,
    /// How much.
    pub quantity: Quantity,
    /// The worst loss.
    pub planned_risk: Money,
    /// Until when the operator may approve.
    pub approval_expires_at: Option<Timestamp>,
}

impl DecisionProposed {
    fn check_stop(&self) -> Result<(), Violation> {
        let Self { entry_price: entry, stop_price: stop, stop_distance: distance, side, .. } = self;
        let on_loss_side = match side {
            Side::Long => stop < entry,
            Side::Short => stop > entry,
        };
        check(on_loss_side, || format!("stop {stop} is not on the loss side of a {side} entry at {entry}"))?;
        check(entry.distance(*stop)? == distance.get(), || {
            format!("{distance} is not the distance from {entry} to {stop}")
        })?;
        let (nearest, farthest) = (product(entry.get(), NEAREST)?, product(entry.get(), FARTHEST)?);
        check(nearest <= distance.get() && distance.get() <= farthest, || {
            format!("a stop {distance} from {entry} is nearer than 0.1 % or beyond 10 %")
        })?;
        check(!self.quantity.is_zero(), || "a decision to trade nothing".to_owned())
    }
}

impl EventBody for DecisionProposed {
    const TYPE: &'static str = "DECISION_PROPOSED";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.position_keys(self.position_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut position = entities.existing_position(self.position_id)?.clone();
        if position.state != PositionState::Armed {
            return Err(WrongState { state: position.state, event: "decide to enter" }.into());
        }
        position.must_be(&self.symbol, self.side)?;
        self.check_stop()?;
        position.technical_stop_price = Some(self.stop_price);
        position.technical_stop_distance = Some(self.stop_distance);
        position.entry_signal_id = Some(self.signal_id);
        entities.replace_position(position, ctx)
    }
}
