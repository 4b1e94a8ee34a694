//! ORDER_SUBMITTED: an order is about to be sent; durable in the batch of its intent, before sending.
//!
//! Changes: a new order, pending; it comes in the batch of its intent, before anything is sent.
//!
//! Refused: when the order exists, asks for nothing, or is not the one that its position's state, symbol,
//! side and latest intent call for. That it lies on the lot grid is decided before: a fold knows no filters.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, Order};
use crate::{
    AccountId, Amount, ClientOrderId, IntentId, Money, OrderId, OrderRole, OrderSide, OrderStatus, OrderType,
    PositionId, PositionState, Price, Quantity, Symbol, WrongState,
};

/// An order is about to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderSubmitted {
    /// The order.
    pub order_id: OrderId,
    /// The account that it is placed for.
    pub account_id: AccountId,
    /// The position that it serves.
    pub position_id: Option<PositionId>,
    /// The intent that it comes from.
    pub intent_id: IntentId,
    /// The id that the venue will know it by.
    pub client_order_id: ClientOrderId,
    /// What is traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: OrderSide,
    /// How it executes.
    pub order_type: OrderType,
    /// What it is for.
    pub role: OrderRole,
    /// How much.
    pub quantity: Quantity,
    /// The limit.
    pub price: Option<Price>,
    /// The trigger.
    pub stop_price: Option<Price>,
    /// Whether it may only shrink a position.
    pub reduce_only: bool,
}

impl OrderSubmitted {
    fn check_position(&self, id: PositionId, entities: &Entities) -> Result<(), Violation> {
        let position = entities.existing_position(id)?;
        let (state, order_id, side) = match self.role {
            OrderRole::Entry => (PositionState::Entering, position.entry_order_id, position.side.entry()),
            OrderRole::Exit => (PositionState::Exiting, position.exit_order_id, position.side.exit()),
            OrderRole::Stop => (PositionState::Active, Some(self.order_id), position.side.exit()),
        };
        if position.state != state {
            return Err(WrongState { state: position.state, event: "submit an order" }.into());
        }
        let Self { symbol, side: own_side, .. } = self;
        check(order_id == Some(self.order_id), || "the position's intent names another order".to_owned())?;
        check(position.symbol == *symbol && side == *own_side, || {
            format!(
                "a {own_side} of {symbol} does not serve a {} position in {}",
                position.side, position.symbol
            )
        })
    }
}

impl EventBody for OrderSubmitted {
    const TYPE: &'static str = "ORDER_SUBMITTED";
    const AUTHOR: Author = Author::Executor;

    fn stream(&self) -> StreamName {
        StreamName::Order(self.order_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        let position = self.position_id.map(EntityKey::Position);
        [EntityKey::Order(self.order_id)].into_iter().chain(position).collect()
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        check(entities.order(self.order_id).is_none(), || format!("order {} exists already", self.order_id))?;
        check(!self.quantity.is_zero(), || "an order of nothing".to_owned())?;
        self.position_id.map_or(Ok(()), |id| self.check_position(id, entities))?;
        entities.put(Order {
            order_id: self.order_id,
            account_id: self.account_id,
            position_id: self.position_id,
            intent_id: self.intent_id,
            role: self.role,
            client_order_id: self.client_order_id.clone(),
            exchange_order_id: None,
            exchange_trade_ids: Vec::new(),
            symbol: self.symbol.clone(),
            side: self.side,
            order_type: self.order_type,
            reduce_only: self.reduce_only,
            quantity: self.quantity,
            price: self.price,
            stop_price: self.stop_price,
            filled_quantity: Quantity::ZERO,
            average_fill_price: None,
            total_fee: Amount::ZERO,
            fee_asset: None,
            total_fee_quote: Money::ZERO,
            status: OrderStatus::Pending,
            reason: None,
            filled_at: None,
            meta: ctx.meta(),
        });
        Ok(())
    }
}
