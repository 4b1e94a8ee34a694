//! What a feed yields: ticks, and the bars that they complete.

use std::sync::Arc;

use robson_domain::{OrderSide, Price, Quantity, Symbol, Timestamp};

/// One price of one symbol at one instant; no other tick of the feed has the same instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// What was traded.
    pub symbol: Arc<Symbol>,
    /// The feed's clock.
    pub at: Timestamp,
    /// The price, on the symbol's tick grid.
    pub price: Price,
    /// The volume that changed hands; zero in a quiet step.
    pub quantity: Quantity,
    /// The taker's side, where the recording knows it.
    pub side: Option<OrderSide>,
    /// Where the straight line to this price began; none where the price was jumped to, as at a bar's
    /// open and at each recorded trade.
    pub path: Option<PathStart>,
    /// Whether a recorded bar opens with this tick, so that its price may lie beyond a gap.
    pub opens_bar: bool,
    /// The recorded bar that is complete with this tick.
    pub closes: Option<Bar>,
}

/// The step before, within the same bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathStart {
    /// When the line began.
    pub at: Timestamp,
    /// The price that it began at.
    pub price: Price,
}

/// A recorded bar with its prices on the tick grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// When it began, inclusive.
    pub open_time: Timestamp,
    /// When it ended, exclusive.
    pub close_time: Timestamp,
    /// The first price.
    pub open: Price,
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// The last price.
    pub close: Price,
    /// What changed hands.
    pub volume: Quantity,
}
