//! The exchange port: what the trader asks of a venue, and every way in which a venue answers.
//!
//! An outcome that is not proven is its own answer, never a failure: ask by client id before anything is
//! sent again.

use std::future::Future;

use robson_domain::{
    Amount, Asset, ClientOrderId, Money, OrderSide, OrderStatus, OrderType, Price, Quantity, Side, Symbol,
    Timestamp, Venue,
};
use serde::{Deserialize, Serialize};

/// A venue that takes orders.
///
/// # Contract
/// A client order id is unique for good: the same order sent again under its id is answered with the first
/// one's report and is never a second order. No implementation repeats an order by itself.
pub trait Exchange: Send + Sync {
    /// The venue's name, as fills carry it.
    fn venue(&self) -> &Venue;

    /// What the venue says of a symbol; none where it does not trade it.
    fn instrument(&self, symbol: &Symbol) -> impl Future<Output = Option<Instrument>> + Send;

    /// Sends an order, once.
    fn place(&self, request: OrderRequest) -> impl Future<Output = PlaceOutcome> + Send;

    /// Asks for an order by the id that we gave it.
    fn order(&self, symbol: &Symbol, id: &ClientOrderId) -> impl Future<Output = OrderLookup> + Send;

    /// Ends a working order.
    fn cancel(&self, symbol: &Symbol, id: &ClientOrderId) -> impl Future<Output = CancelOutcome> + Send;

    /// What the account holds, by asset.
    ///
    /// # Errors
    /// `Unanswered`; it does not mean an empty account.
    fn balances(&self) -> impl Future<Output = Result<Vec<VenueBalance>, Unanswered>> + Send;

    /// The open positions, by symbol.
    ///
    /// # Errors
    /// `Unanswered`; it does not mean flat.
    fn positions(&self) -> impl Future<Output = Result<Vec<VenuePosition>, Unanswered>> + Send;
}

/// A symbol's filters and assets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// The symbol.
    pub symbol: Symbol,
    /// What is traded.
    pub base: Asset,
    /// What it is priced in.
    pub quote: Asset,
    /// The grid of prices.
    pub tick_size: Price,
    /// The grid of quantities.
    pub step: Quantity,
    /// The smallest quantity.
    pub min_quantity: Quantity,
    /// The smallest value of an order, but for one that only reduces.
    pub min_notional: Money,
}

/// An order as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRequest {
    /// Our id for it.
    pub client_order_id: ClientOrderId,
    /// What to trade.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: OrderSide,
    /// How much, in base units.
    pub quantity: Quantity,
    /// Whether it may only make a position smaller.
    pub reduce_only: bool,
    /// How it executes.
    pub order_type: OrderType,
}

/// How sending an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceOutcome {
    /// The venue has it: record the acknowledgement and its fills.
    Confirmed(Box<OrderReport>),
    /// The venue proves that it did not take it: the intent has failed.
    Refused(Refusal),
    /// Our own check held it back; nothing left the process: the intent is skipped.
    Denied {
        /// Why.
        reason: String,
    },
    /// Nobody knows: ask by client id, never send first.
    Unknown,
}

/// A venue's no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The venue's code.
    pub code: i64,
    /// The venue's words.
    pub reason: String,
    /// When the venue said so.
    pub at: Timestamp,
}

/// What a venue knows under a client id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderLookup {
    /// The order; one that was refused has the status `rejected` and its refusal.
    Found(Box<OrderReport>),
    /// Proof that the venue never took it.
    Absent,
    /// No answer, which proves nothing.
    Unknown,
}

/// How a cancel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It has ended; what was filled before counts.
    Canceled(Box<OrderReport>),
    /// It was not working: filled, ended or never there. Ask for it.
    NotWorking,
    /// No answer: ask for it.
    Unknown,
}

/// An order as the venue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderReport {
    /// The venue's id; none where it was refused.
    pub exchange_order_id: Option<String>,
    /// Our id.
    pub client_order_id: ClientOrderId,
    /// What is traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: OrderSide,
    /// How far it has come: `acknowledged` or further.
    pub status: OrderStatus,
    /// How much was asked for.
    pub quantity: Quantity,
    /// How much of it was filled; an order that has ended may carry any part.
    pub filled: Quantity,
    /// When the venue took or refused it.
    pub accepted_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Its fills, oldest first.
    pub fills: Vec<VenueFill>,
    /// Why it was refused, where it was.
    pub refusal: Option<Refusal>,
}

/// A fill as the venue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueFill {
    /// The venue's id, unique for the symbol only.
    pub exchange_trade_id: String,
    /// The price.
    pub price: Price,
    /// How much, in base units.
    pub quantity: Quantity,
    /// What it cost, in the fee's asset.
    pub fee: Amount,
    /// What the fee was taken in.
    pub fee_asset: Asset,
    /// Whether our order rested.
    pub is_maker: bool,
    /// When.
    pub at: Timestamp,
}

/// One asset of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueBalance {
    /// The asset.
    pub asset: Asset,
    /// What new orders may use; below zero when losses have eaten into what is locked.
    pub free: Amount,
    /// What positions and working orders hold.
    pub locked: Amount,
    /// Both.
    pub total: Amount,
    /// When it was true.
    pub at: Timestamp,
}

/// A position as the venue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenuePosition {
    /// The symbol.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// How much, in base units; above zero.
    pub quantity: Quantity,
    /// The average price of entry.
    pub entry_price: Price,
}

/// A question to the venue that was not answered; it proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the venue did not answer: {0}")]
pub struct Unanswered(pub String);

impl Refusal {
    /// Our word for the venue's code, as ORDER_REJECTED carries it.
    pub const fn reason_code(&self) -> &'static str {
        match self.code {
            -1013 | -1111 => "filter",
            -1116 => "order_type",
            -1121 => "unknown_symbol",
            -2010 => "new_order_rejected",
            -2019 => "insufficient_margin",
            -2022 => "reduce_only",
            _ => "refused",
        }
    }
}

impl Instrument {
    /// An instrument with a tick of 0.01, a step of 0.00000001 and a minimum value of 1.
    ///
    /// Its base is the symbol without the quote at its end, or the symbol where it ends otherwise.
    pub fn with_default_filters(symbol: &Symbol, quote: &Asset) -> Self {
        let base = symbol.as_str().strip_suffix(quote.as_str()).and_then(|base| base.parse().ok());
        let whole = || symbol.as_str().parse().expect("every symbol can name an asset");
        let step = "0.00000001".parse().expect("a quantity");
        Self {
            symbol: symbol.clone(),
            base: base.unwrap_or_else(whole),
            quote: quote.clone(),
            tick_size: "0.01".parse().expect("a price"),
            step,
            min_quantity: step,
            min_notional: "1".parse().expect("an amount"),
        }
    }
}
