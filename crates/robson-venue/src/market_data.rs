//! The market data port: where ticks come from.

use std::future::Future;

use crate::feed::{Playback, Tick};

/// A source of ticks on one strictly increasing clock.
///
/// # Contract
/// A tick's time is after that of the tick before it, also across symbols, so a tick is identified by its
/// time. A source that loses its connection restores it by itself and reports the silence elsewhere.
pub trait MarketData: Send {
    /// The next tick; none when the source has ended for good.
    fn next_tick(&mut self) -> impl Future<Output = Option<Tick>> + Send;
}

/// A recorded feed is always ready: its caller waits as long as its speed asks.
impl MarketData for Playback {
    fn next_tick(&mut self) -> impl Future<Output = Option<Tick>> + Send {
        std::future::ready(self.next())
    }
}
