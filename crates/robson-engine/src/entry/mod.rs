//! Entry: when an armed position fires. A detector fires once; it neither sizes nor judges risk.
//!
//! Each condition on candles is one file; the mirror of a market gives the mirror of its signals.

mod key_level;
mod reversal;
mod trend;

use std::collections::BTreeMap;

use robson_domain::{EntryMode, Overflow, Price, Side, Timestamp};
use rust_decimal::Decimal;

use crate::candles::{Candle, CandleLength, Tick};

/// What a condition was judged by, by name.
pub type Indicators = BTreeMap<&'static str, Decimal>;

/// Watches the market for one armed position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detector {
    mode: EntryMode,
    side: Side,
    not_before: Timestamp,
}

/// The condition for an entry has come true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The side to enter.
    pub side: Side,
    /// The price of the tick that showed it: the entry price of the decision.
    pub price: Price,
    /// The time of that tick.
    pub detected_at: Timestamp,
    /// What the condition was judged by, by name.
    pub indicators: Indicators,
}

impl Detector {
    /// A detector of a position that was armed at `not_before`, or whose pause after a refusal ends then.
    ///
    /// Only what comes later counts.
    pub const fn new(mode: EntryMode, side: Side, not_before: Timestamp) -> Self {
        Self { mode, side, not_before }
    }

    /// The signal that a tick gives, with the candles that are closed before it, oldest first.
    ///
    /// It keeps nothing: the caller stops asking once it has fired.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn signal(
        &self,
        tick: &Tick,
        candles: &[Candle],
        length: CandleLength,
    ) -> Result<Option<Signal>, Overflow> {
        if tick.time <= self.not_before {
            return Ok(None);
        }
        let closed_since = candles.last().is_some_and(|last| length.close_of(last) > self.not_before);
        let indicators = match self.mode {
            EntryMode::Immediate => Some(Indicators::new()),
            _ if !closed_since => None,
            EntryMode::ConfirmedTrend => trend::cross(self.side, candles)?,
            EntryMode::ConfirmedReversal => reversal::candle(self.side, candles)?,
            EntryMode::ConfirmedKeyLevel => key_level::bounce(self.side, candles)?,
        };
        Ok(indicators.map(|indicators| Signal {
            side: self.side,
            price: tick.price,
            detected_at: tick.time,
            indicators,
        }))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use proptest::prelude::*;

    use super::*;
    use crate::math::testing::v;

    /// The start of a quarter of an hour since 1970.
    pub(crate) fn at(quarter_hours: usize) -> Timestamp {
        let quarters = i64::try_from(quarter_hours).unwrap();
        Timestamp::from_unix_micros(quarters * 900_000_000).unwrap()
    }

    /// Candles from their open, high, low and close.
    pub(crate) fn candles(prices: &[[i64; 4]]) -> Vec<Candle> {
        let price = |price: i64| Price::new(Decimal::from(price)).unwrap();
        let candle = |(index, [open, high, low, close]): (usize, &[i64; 4])| Candle {
            open_time: at(index),
            open: price(*open),
            high: price(*high),
            low: price(*low),
            close: price(*close),
            volume: v("1"),
        };
        prices.iter().enumerate().map(candle).collect()
    }

    /// Candles that are no more than their close.
    pub(crate) fn closes(closes: &[i64]) -> Vec<Candle> {
        candles(&closes.iter().map(|close| [*close; 4]).collect::<Vec<_>>())
    }

    /// The market upside down, about 1,000: what was gain is loss.
    pub(crate) fn mirrored(prices: &[[i64; 4]]) -> Vec<[i64; 4]> {
        prices.iter().map(|[open, high, low, close]| [open, low, high, close].map(|p| 2_000 - p)).collect()
    }

    /// Candles within ten percent of 1,000, in steps of 2: a mirror moves a tolerance of 0.5 % by less.
    pub(crate) fn markets(count: usize) -> impl Strategy<Value = Vec<[i64; 4]>> {
        let candle = prop::array::uniform4(-50_i64..=50).prop_map(|offsets| {
            let [open, close, a, b] = offsets.map(|offset| 1_000 + 2 * offset);
            [open, open.max(close).max(a), open.min(close).min(b), close]
        });
        prop::collection::vec(candle, count)
    }

    /// What was told, as `name value`.
    pub(crate) fn told(indicators: &Indicators) -> Vec<String> {
        indicators.iter().map(|(name, value)| format!("{name} {value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{at, closes};
    use super::*;
    use crate::math::testing::v;

    const LENGTH: CandleLength = CandleLength::QUARTER_HOUR;

    fn tick(time: Timestamp) -> Tick {
        Tick { time, price: v("101"), quantity: v("1") }
    }

    fn fires(mode: EntryMode, side: Side, not_before: Timestamp, prices: &[i64]) -> Option<Signal> {
        let now = tick(at(prices.len()));
        Detector::new(mode, side, not_before).signal(&now, &closes(prices), LENGTH).unwrap()
    }

    #[test]
    fn immediate_fires_on_the_first_price_after_arming() {
        let signal = fires(EntryMode::Immediate, Side::Short, at(0), &[100]).unwrap();
        assert_eq!((signal.side, signal.price, signal.detected_at), (Side::Short, v("101"), at(1)));
        assert_eq!(fires(EntryMode::Immediate, Side::Short, at(1), &[100]), None, "the price is not fresh");
    }

    #[test]
    fn a_condition_on_candles_needs_one_that_closed_after_arming() {
        let closed_at = at(22);
        let crossed = closes(&[[100; 21].as_slice(), &[110]].concat());
        let fires = |not_before| {
            let detector = Detector::new(EntryMode::ConfirmedTrend, Side::Long, not_before);
            let later = tick(closed_at.plus_micros(60_000_000));
            detector.signal(&later, &crossed, LENGTH).unwrap().is_some()
        };
        assert!(fires(closed_at.plus_micros(-1)));
        assert!(!fires(closed_at), "it closed as the position was armed");
    }
}
