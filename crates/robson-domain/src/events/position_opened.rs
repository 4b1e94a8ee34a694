//! POSITION_OPENED: the first fill of the entry opened the position and its stop stands.
//!
//! Changes: the stop is in force and the best price is that of the fill; the strategy counts a position.
//!
//! Refused: when nothing is held or a stop stands already, when symbol or side are others, when stop and
//! distance are not the ones that were decided, or when the initial stop is looser than the technical one.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, Position};
use crate::{
    AccountId, OrderId, PositionId, Price, Quantity, Side, StrategyId, Symbol, Timestamp, WrongState,
};

/// The first fill of the entry opened the position and its stop stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionOpened {
    /// The position.
    pub position_id: PositionId,
    /// The account.
    pub account_id: AccountId,
    /// The strategy that it counts for.
    pub strategy_id: Option<StrategyId>,
    /// What is traded.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// The price of the fill.
    pub entry_price: Price,
    /// The quantity of the fill.
    pub entry_quantity: Quantity,
    /// The time of the fill.
    pub entry_filled_at: Timestamp,
    /// The stop that was decided.
    pub technical_stop_price: Price,
    /// Its distance from the price of the decision.
    pub technical_stop_distance: Price,
    /// The tighter of the technical stop and the fill less the distance.
    pub initial_stop: Price,
    /// The entry order.
    pub entry_order_id: OrderId,
}

impl PositionOpened {
    /// The stop must be the one that was decided, or tighter.
    ///
    /// It is not compared with the fill: a fill beyond the stop is a fact, and the next tick exits.
    fn check_stop(&self, position: &Position) -> Result<(), Violation> {
        let Self { technical_stop_price: stop, technical_stop_distance: distance, initial_stop, .. } = self;
        let as_decided = position.technical_stop_price.is_none_or(|decided| decided == *stop)
            && position.technical_stop_distance.is_none_or(|decided| decided == *distance);
        check(as_decided, || format!("stop {stop} at distance {distance} is not the one that was decided"))?;
        check(!position.is_tighter(*stop, *initial_stop), || {
            format!("initial stop {initial_stop} is looser than the technical stop {stop}")
        })
    }
}

impl EventBody for PositionOpened {
    const TYPE: &'static str = "POSITION_OPENED";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.position_keys(self.position_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut position = entities.existing_position(self.position_id)?.clone();
        if !position.is_open() || position.trailing_stop_price.is_some() {
            return Err(WrongState { state: position.state, event: "open" }.into());
        }
        position.must_be(&self.symbol, self.side)?;
        self.check_stop(&position)?;
        position.technical_stop_price = Some(self.technical_stop_price);
        position.technical_stop_distance = Some(self.technical_stop_distance);
        position.trailing_stop_price = Some(self.initial_stop);
        position.favorable_extreme = Some(self.entry_price);
        position.extreme_at = Some(self.entry_filled_at);
        if let Some(strategy) = position.strategy_id.and_then(|id| entities.strategy_mut(id)) {
            strategy.count_opened();
        }
        entities.replace_position(position, ctx)
    }
}
