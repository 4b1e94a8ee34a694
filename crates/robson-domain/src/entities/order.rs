//! An order: what was asked of a venue and what came of it.

use super::Meta;
use crate::arithmetic::average;
use crate::events::{EventContext, Violation};
use crate::{
    AccountId, Amount, Asset, ClientOrderId, IntentId, Money, OrderId, OrderRole, OrderSide, OrderStatus,
    OrderType, PositionId, Price, Quantity, Symbol, Timestamp,
};

/// An order, as `orders_current` mirrors it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Equal to the intent's id.
    pub order_id: OrderId,
    /// The account that it was placed for.
    pub account_id: AccountId,
    /// The position that it serves.
    pub position_id: Option<PositionId>,
    /// The intent that it comes from.
    pub intent_id: IntentId,
    /// What it is for.
    pub role: OrderRole,
    /// The id that the venue knows it by; ours.
    pub client_order_id: ClientOrderId,
    /// The venue's own id, once acknowledged.
    pub exchange_order_id: Option<String>,
    /// The venue's ids of its fills, in the order in which they became known.
    pub exchange_trade_ids: Vec<String>,
    /// What is traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: OrderSide,
    /// How it executes.
    pub order_type: OrderType,
    /// Whether it may only shrink a position.
    pub reduce_only: bool,
    /// How much was asked for.
    pub quantity: Quantity,
    /// The limit.
    pub price: Option<Price>,
    /// The trigger.
    pub stop_price: Option<Price>,
    /// How much was filled.
    pub filled_quantity: Quantity,
    /// The average price of the fills, 12 decimals.
    pub average_fill_price: Option<Price>,
    /// The sum of the fees in `fee_asset`; of nothing in particular when that is mixed.
    pub total_fee: Amount,
    /// The asset of the fees; none without fills or when mixed.
    pub fee_asset: Option<Asset>,
    /// The fees in quote currency.
    pub total_fee_quote: Money,
    /// How far it has come.
    pub status: OrderStatus,
    /// Why it ended, where it was not filled.
    pub reason: Option<String>,
    /// The time of its latest fill.
    pub filled_at: Option<Timestamp>,
    /// Where the row stands in the log.
    pub meta: Meta,
}

/// What a fill adds to an order.
#[derive(Debug, Clone)]
pub(crate) struct OrderFill<'a> {
    pub(crate) exchange_order_id: &'a str,
    pub(crate) exchange_trade_id: &'a str,
    pub(crate) price: Price,
    pub(crate) quantity: Quantity,
    pub(crate) fee: Amount,
    pub(crate) fee_asset: &'a Asset,
    pub(crate) fee_quote: Money,
    pub(crate) filled_at: Timestamp,
}

impl Order {
    /// Whether it may still fill.
    pub const fn is_working(&self) -> bool {
        !self.status.is_final()
    }

    /// How much of it is not filled.
    pub fn remaining(&self) -> Quantity {
        self.quantity.minus(self.filled_quantity).unwrap_or(Quantity::ZERO)
    }

    /// Adds a fill; a fill after the order's end counts, and the order stays ended.
    pub(crate) fn add(&mut self, fill: &OrderFill<'_>) -> Result<(), Violation> {
        let before = self.average_fill_price.map(|price| (self.filled_quantity, price));
        let first = self.exchange_trade_ids.is_empty();
        self.average_fill_price = Some(average(before, fill.quantity, fill.price)?);
        self.filled_quantity = self.filled_quantity.plus(fill.quantity)?;
        self.total_fee = self.total_fee.plus(fill.fee)?;
        self.total_fee_quote = self.total_fee_quote.plus(fill.fee_quote)?;
        self.fee_asset = match &self.fee_asset {
            None if first => Some(fill.fee_asset.clone()),
            Some(asset) if asset == fill.fee_asset => Some(asset.clone()),
            _ => None,
        };
        self.exchange_trade_ids.push(fill.exchange_trade_id.to_owned());
        self.exchange_order_id.get_or_insert_with(|| fill.exchange_order_id.to_owned());
        self.filled_at = self.filled_at.max(Some(fill.filled_at));
        let all = self.filled_quantity >= self.quantity;
        self.status = self.status.advanced_to(if all { OrderStatus::Filled } else { OrderStatus::Partial });
        Ok(())
    }

    pub(super) fn stamp(&mut self, ctx: &EventContext) {
        self.meta.stamp(ctx);
    }
}
