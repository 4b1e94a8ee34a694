//! What a feed yields: ticks, and the bars that they complete.

use std::sync::Arc;

use robson_domain::{OrderSide, Price, Quantity, Symbol, Timestamp};

use super::Path;

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
    /// The straight line to this price; none where the price was jumped to, as at a bar's open and at each
    /// recorded trade.
    pub path: Option<Path>,
    /// The recorded bar that the tick belongs to; none where trades are recorded.
    pub bar: Option<RunningBar>,
    /// Whether a recorded bar opens with this tick, so that its price may lie beyond a gap.
    pub opens_bar: bool,
    /// The recorded bar that is complete with this tick.
    pub closes: Option<Bar>,
}

/// What a venue knows of the bar that runs, and a trader must not use before it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningBar {
    /// When it began, inclusive.
    pub opened_at: Timestamp,
    /// What changes hands in the whole of it.
    pub volume: Quantity,
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

impl Tick {
    /// The first microsecond after the path's beginning and before the tick itself at which the price has
    /// reached a level: come down to it when `falling`, else up to it.
    ///
    /// None without a path, and where only the tick itself reaches the level. A level that was reached when
    /// the path began is reached a microsecond later: ask only for what was not triggered before.
    pub fn reaches(&self, level: Price, falling: bool) -> Option<Timestamp> {
        self.path?.first_reaching(level, falling).filter(|at| *at < self.at)
    }

    /// The tick as two, of which the first ends at an instant between the path's beginning and the tick.
    ///
    /// The first has the price of that instant and its share of the volume; a bar is closed by the second.
    pub fn split_at(&self, at: Timestamp) -> Option<(Self, Self)> {
        let path = self.path.filter(|path| path.begins_at < at && at < self.at.min(path.to_at))?;
        let quantity = path.quantity_to(at)?;
        let rest = self.quantity.minus(quantity)?;
        let first = Self { at, price: path.price_at(at), quantity, closes: None, ..self.clone() };
        let path = Some(Path { begins_at: at, ..path });
        Some((first, Self { path, quantity: rest, opens_bar: false, ..self.clone() }))
    }
}
