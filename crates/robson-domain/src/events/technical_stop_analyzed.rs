//! TECHNICAL_STOP_ANALYZED: the chart was read for the technical stop.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::{Confidence, PositionId, Price, SignalId, SkipReason, StopMethod};

/// The chart was read for the technical stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TechnicalStopAnalyzed {
    /// The position.
    pub position_id: PositionId,
    /// The signal that asked for it.
    pub signal_id: SignalId,
    /// The length of a candle.
    pub timeframe: String,
    /// How many candles were read.
    pub candles: i64,
    /// The price of the decision.
    pub entry_price: Price,
    /// The stop.
    pub stop_price: Price,
    /// Where it comes from.
    pub method: StopMethod,
    /// Which level was asked for.
    pub configured_level_n: i64,
    /// Which level it is; none for the average true range.
    pub level_n: Option<i64>,
    /// The levels that were passed over.
    pub skipped_levels: Vec<SkippedLevel>,
    /// How much it is trusted.
    pub confidence: Confidence,
}

/// A level that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedLevel {
    /// Where it stands.
    pub level: Price,
    /// How far from the entry.
    pub distance: Price,
    /// Why it was passed over.
    pub reason: SkipReason,
}

impl EventBody for TechnicalStopAnalyzed {
    const TYPE: &'static str = "TECHNICAL_STOP_ANALYZED";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }
}
