//! MARKET_DATA_GAP_DETECTED: prices did not come for a while.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::{GapFallback, Symbol, Timestamp};

/// Prices did not come for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketDataGapDetected {
    /// The symbol.
    pub symbol: Symbol,
    /// The last price before.
    pub last_tick_at: Timestamp,
    /// How long.
    pub gap_ms: i64,
    /// What bridges it.
    pub fallback: GapFallback,
}

impl EventBody for MarketDataGapDetected {
    const TYPE: &'static str = "MARKET_DATA_GAP_DETECTED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::system("market-data")
    }
}
