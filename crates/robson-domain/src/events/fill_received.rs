//! FILL_RECEIVED: an order was filled, wholly or in part.
//!
//! A fact: it is always kept. What contradicts the books puts the position into error.
//!
//! Changes: a new fill; the order's quantity, average, fees, trade ids and status; the position's quantity,
//! average entry, realized result and fees; what the account and the strategy have realized. After the end of
//! its position it is an open discrepancy.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, Fill, FillKey, Order, OrderFill, Position, RiskKey};
use crate::lifecycle::{Consequence, Happening};
use crate::{
    AccountId, Amount, Asset, FillId, Money, OrderId, OrderRole, OrderSide, Price, Quantity, Symbol,
    Timestamp, Venue,
};

/// An order was filled, wholly or in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillReceived {
    /// The order.
    pub order_id: OrderId,
    /// Our id of the fill: see [`FillKey::fill_id`].
    pub fill_id: FillId,
    /// The account.
    pub account_id: AccountId,
    /// Where it happened.
    pub venue: Venue,
    /// The venue's id of the order.
    pub exchange_order_id: String,
    /// The venue's id of the trade.
    pub exchange_trade_id: String,
    /// What was traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: OrderSide,
    /// At which price.
    pub fill_price: Price,
    /// How much.
    pub fill_quantity: Quantity,
    /// The fee in `fee_asset`; negative for a rebate.
    pub fee: Amount,
    /// What the fee was taken in.
    pub fee_asset: Asset,
    /// The fee in quote currency.
    pub fee_quote: Money,
    /// Whether the fee is our estimate.
    pub fee_estimated: bool,
    /// Whether our order rested.
    pub is_maker: bool,
    /// When it happened, by the venue's clock.
    pub filled_at: Timestamp,
}

impl FillReceived {
    /// What makes it unique.
    pub fn key(&self) -> FillKey {
        FillKey {
            venue: self.venue.clone(),
            account_id: self.account_id,
            symbol: self.symbol.clone(),
            exchange_trade_id: self.exchange_trade_id.clone(),
        }
    }

    fn row(&self, ctx: &EventContext) -> Fill {
        Fill {
            key: self.key(),
            fill_id: self.fill_id,
            order_id: self.order_id,
            exchange_order_id: self.exchange_order_id.clone(),
            side: self.side,
            fill_price: self.fill_price,
            fill_quantity: self.fill_quantity,
            fee: self.fee,
            fee_asset: self.fee_asset.clone(),
            fee_quote: self.fee_quote,
            fee_estimated: self.fee_estimated,
            is_maker: self.is_maker,
            filled_at: self.filled_at,
            ingested_at: ctx.ingested_at,
        }
    }

    /// What the venue kept of the bought coins.
    ///
    /// The base asset is what the symbol starts with; a symbol that ends with the fee's asset is quoted in it.
    fn taken_as_fee(&self) -> Quantity {
        let (symbol, asset) = (self.symbol.as_str(), self.fee_asset.as_str());
        let is_base = symbol.starts_with(asset) && !symbol.ends_with(asset);
        let fee = if is_base { self.fee.get() } else { return Quantity::ZERO };
        Quantity::new(fee).unwrap_or(Quantity::ZERO)
    }

    fn matches(&self, order: &Order) -> Result<(), Violation> {
        check(!self.fill_quantity.is_zero(), || "a fill of nothing".to_owned())?;
        check(order.symbol == self.symbol && order.side == self.side, || {
            format!(
                "a {} of {} cannot fill order {}, a {} of {}",
                self.side, self.symbol, order.order_id, order.side, order.symbol
            )
        })
    }

    fn added_to(&self, mut order: Order) -> Result<Order, Violation> {
        self.matches(&order)?;
        order.add(&OrderFill {
            exchange_order_id: &self.exchange_order_id,
            exchange_trade_id: &self.exchange_trade_id,
            price: self.fill_price,
            quantity: self.fill_quantity,
            fee: self.fee,
            fee_asset: &self.fee_asset,
            fee_quote: self.fee_quote,
            filled_at: self.filled_at,
        })?;
        Ok(order)
    }

    fn settle(&self, order: &Order, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let position = order.position_id.and_then(|id| entities.position(id)).cloned();
        let strategy_id = position.as_ref().and_then(|position| position.strategy_id);
        let outcome = position.map(|position| self.move_position(order, position)).transpose()?;
        let (realized, discrepancy) = match outcome {
            None => (Money::ZERO, false),
            Some(Moved::AfterTheEnd) => (Money::ZERO, true),
            Some(Moved::To { position, realized }) => {
                entities.replace_position(*position, ctx)?;
                (realized, false)
            }
        };
        let net = realized.minus(self.fee_quote)?;
        entities
            .move_risk(self.account_id, strategy_id, self.filled_at, |risk| risk.book(net, self.filled_at))?;
        if let Some(risk) = entities.risk_mut(RiskKey::account(self.account_id)) {
            risk.open_discrepancies += i64::from(discrepancy);
        }
        Ok(())
    }

    fn move_position(&self, order: &Order, mut position: Position) -> Result<Moved, Violation> {
        let is_entry = order.role == OrderRole::Entry;
        let happening = if is_entry { Happening::EntryFill } else { Happening::ExitFillSome };
        if position.take(happening)? == Some(Consequence::Discrepancy) {
            return Ok(Moved::AfterTheEnd);
        }
        position.total_fees = position.total_fees.plus(self.fee_quote)?;
        let (realized, excess) = if is_entry {
            position.entry_order_id.get_or_insert(order.order_id);
            position.enter(self.fill_price, self.fill_quantity, self.taken_as_fee(), self.filled_at)?;
            (Money::ZERO, Quantity::ZERO)
        } else {
            position.exit(self.fill_price, self.fill_quantity)?
        };
        let Order { order_id, quantity, filled_quantity, .. } = order;
        if !excess.is_zero() {
            position.fault(format!("order {order_id} filled {excess} more than the position held"));
        } else if filled_quantity > quantity {
            position.fault(format!("order {order_id} of {quantity} filled {filled_quantity}"));
        }
        Ok(Moved::To { position: Box::new(position), realized })
    }
}

/// What a fill did to its position.
enum Moved {
    /// The position had ended: the venue and the books differ.
    AfterTheEnd,
    /// It moved.
    To { position: Box<Position>, realized: Money },
}

impl EventBody for FillReceived {
    const TYPE: &'static str = "FILL_RECEIVED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::Order(self.order_id)
    }

    fn natural_key(&self) -> Option<String> {
        Some(self.key().natural_key())
    }

    /// Two channels report the rest of a fill differently.
    fn fingerprint_payload(&self) -> Option<Value> {
        Some(json!({"side": self.side, "fill_price": self.fill_price, "fill_quantity": self.fill_quantity}))
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        let mut keys = entities.order_keys(self.order_id);
        keys.push(self.key().into());
        keys.push(RiskKey::account(self.account_id).into());
        keys
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        entities.put(self.row(ctx));
        let Some(order) = entities.order(self.order_id).cloned() else { return Ok(()) };
        let position_id = order.position_id;
        let mut settled = entities.clone();
        let outcome = self.added_to(order).and_then(|order| {
            entities.put(order.clone());
            settled.put(order.clone());
            self.settle(&order, ctx, &mut settled)
        });
        match (outcome, position_id) {
            (Ok(()), _) => *entities = settled,
            (Err(violation), Some(id)) => entities.fault(id, violation.to_string(), ctx),
            (Err(_), None) => {}
        }
        Ok(())
    }
}
