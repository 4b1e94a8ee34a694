//! POSITION_CLOSED: nothing is held any more.
//!
//! Changes: the position is closed and holds nothing; its risk is free; the strategy counts its result.
//!
//! Refused: when the entry still works, when there is nothing to close, or when price, quantity, result, fees
//! and dust are not what the fills come to. With evidence the position takes over what the event says
//! instead.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, Order, Position};
use crate::lifecycle::Happening;
use crate::{ExitReason, Json, Money, OrderId, PositionId, PositionState, Price, Quantity, Timestamp};

/// Nothing is held any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionClosed {
    /// The position.
    pub position_id: PositionId,
    /// Why.
    pub exit_reason: ExitReason,
    /// The average price of the entry.
    pub entry_price: Price,
    /// The average price of the exits.
    pub exit_price: Price,
    /// How much was closed.
    pub quantity: Quantity,
    /// What the exits gained; gross.
    pub realized_pnl: Money,
    /// All fees, in quote currency.
    pub total_fees: Money,
    /// What was too little to sell.
    pub dust_quantity: Quantity,
    /// The last exit order.
    pub exit_order_id: Option<OrderId>,
    /// When.
    pub closed_at: Timestamp,
    /// What proves it where the fills do not.
    pub evidence: Option<Json>,
}

impl PositionClosed {
    /// The event repeats what the fills came to; a difference is a mistake in the decision.
    fn check_sums(&self, position: &Position) -> Result<(), Violation> {
        let Self { realized_pnl, total_fees, dust_quantity, quantity, .. } = self;
        let agrees = position.realized_pnl == *realized_pnl
            && position.total_fees == *total_fees
            && position.current_quantity == *dust_quantity
            && position.entry_price == Some(self.entry_price)
            && position.exited_quantity() == *quantity;
        check(agrees, || {
            format!(
                "closing {quantity} with realized {realized_pnl}, fees {total_fees}, dust {dust_quantity}; the \
                 fills say {}, {}, {}, {}",
                position.exited_quantity(),
                position.realized_pnl,
                position.total_fees,
                position.current_quantity
            )
        })
    }
}

impl EventBody for PositionClosed {
    const TYPE: &'static str = "POSITION_CLOSED";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.position_keys(self.position_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut position = entities.existing_position(self.position_id)?.clone();
        let by_evidence = self.evidence.is_some();
        position.take(if by_evidence { Happening::VenueFlat } else { Happening::ExitFillAll })?;
        check(position.state == PositionState::Closed, || "there is nothing to close".to_owned())?;
        let entry_order = position.entry_order_id.and_then(|id| entities.order(id));
        check(!entry_order.is_some_and(Order::is_working), || "the entry is still working".to_owned())?;
        if by_evidence {
            position.realized_pnl = self.realized_pnl;
            position.total_fees = self.total_fees;
        } else {
            self.check_sums(&position)?;
        }
        position.current_quantity = Quantity::ZERO;
        position.unrealized_pnl = None;
        position.dust_quantity = self.dust_quantity;
        position.exit_reason = Some(self.exit_reason);
        position.exit_order_id = self.exit_order_id.or(position.exit_order_id);
        position.closed_at = Some(self.closed_at);
        if let Some(strategy) = position.strategy_id.and_then(|id| entities.strategy_mut(id)) {
            strategy.count_closed(&position)?;
        }
        entities.replace_position(position, ctx)
    }
}
