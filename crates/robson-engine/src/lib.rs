//! Decisions: candles, technical stop, position size, entry, trailing stop and risk gate.
//!
//! Every function here maps values to a value: no storage, no clock, no randomness and no events.
//! The same inputs give the same decision in a live run, in a replay and in a test. Arithmetic is
//! decimal and checked; a result that does not fit is an [`robson_domain::Overflow`], never a wrong number.
#![deny(clippy::disallowed_types, clippy::float_arithmetic)]

pub mod candles;
pub mod entry;
mod math;
pub mod risk_gate;
pub mod sizing;
pub mod technical_stop;
pub mod trailing_stop;

pub use candles::{Candle, CandleError, CandleLength, CandleSeries, Tick};
pub use entry::{Detector, Indicators, Signal};
pub use risk_gate::{Admission, FailedCheck, MonthRisk, RiskRequest, Verdict};
pub use sizing::{Costs, Lot, NotSized, Size, SizingRules, Trade};
pub use technical_stop::{NoStop, OutOfBounds, SkippedLevel, StopBounds, StopRules, TechnicalStop};
pub use trailing_stop::{Trail, TrailAction, TrailState};
