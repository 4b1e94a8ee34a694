//! A fill: one trade of one order, as the venue reported it. It never changes.

use super::EntityKey;
use crate::events::EventContext;
use crate::{
    AccountId, Amount, Asset, FillId, Money, OrderId, OrderSide, Price, Quantity, Symbol, Timestamp, Venue,
    derived_id,
};

/// What makes a fill unique: trade ids are unique per venue, account and symbol only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FillKey {
    /// Where it happened.
    pub venue: Venue,
    /// The account that it belongs to.
    pub account_id: AccountId,
    /// What was traded.
    pub symbol: Symbol,
    /// The venue's id of the trade.
    pub exchange_trade_id: String,
}

impl FillKey {
    /// The dedupe key: numeric trade ids are padded, so that keys sort as the trades did.
    pub fn natural_key(&self) -> String {
        let Self { venue, account_id, symbol, exchange_trade_id: id } = self;
        format!("fill/{venue}/{account_id}/{symbol}/{}", sortable(id))
    }

    /// Our id of the fill: the same fill always gets the same id.
    pub fn fill_id(&self, filled_at: Timestamp) -> FillId {
        FillId(derived_id(filled_at, &[&self.natural_key()]))
    }
}

impl From<FillKey> for EntityKey {
    fn from(key: FillKey) -> Self {
        Self::Fill(key)
    }
}

/// A venue's id as keys hold it: numbers are padded, so that they sort as they were given out.
pub(crate) fn sortable(id: &str) -> String {
    let is_number = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    if is_number { format!("{id:0>20}") } else { id.to_owned() }
}

/// A fill, as `fills` mirrors it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Venue, account, symbol and trade id.
    pub key: FillKey,
    /// Our id, derived from the key.
    pub fill_id: FillId,
    /// The order that it filled.
    pub order_id: OrderId,
    /// The venue's id of the order.
    pub exchange_order_id: String,
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
    /// When it happened.
    pub filled_at: Timestamp,
    /// When we recorded it.
    pub ingested_at: Timestamp,
}

impl Fill {
    pub(super) fn stamp(&mut self, _ctx: &EventContext) {}
}
