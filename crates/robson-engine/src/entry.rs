//! Entry: when an armed position fires. A detector fires once; it neither sizes nor judges risk.

use std::collections::BTreeMap;

use robson_domain::{EntryMode, Overflow, Price, Side, Timestamp};
use rust_decimal::Decimal;

use crate::candles::{Candle, CandleLength, Tick};
use crate::math::{ahead, div, mul, sum};

/// Closes in the fast average.
const FAST: usize = 9;
/// Closes in the slow average.
const SLOW: usize = 21;

/// Watches the market for one armed position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detector {
    condition: Condition,
    side: Side,
    not_before: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Immediate,
    TrendCross,
}

/// There is no detector for an entry mode yet; a position cannot be armed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no detector for entry mode {0}")]
pub struct UnsupportedMode(pub EntryMode);

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
    pub indicators: BTreeMap<&'static str, Decimal>,
}

impl Detector {
    /// A detector of a position that was armed at `not_before`, or whose pause after a refusal ends then.
    ///
    /// Only what comes later counts.
    ///
    /// # Errors
    /// `UnsupportedMode`.
    pub fn new(mode: EntryMode, side: Side, not_before: Timestamp) -> Result<Self, UnsupportedMode> {
        let condition = match mode {
            EntryMode::Immediate => Condition::Immediate,
            EntryMode::ConfirmedTrend => Condition::TrendCross,
            EntryMode::ConfirmedReversal | EntryMode::ConfirmedKeyLevel => return Err(UnsupportedMode(mode)),
        };
        Ok(Self { condition, side, not_before })
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
        let indicators = match self.condition {
            Condition::Immediate => Some(BTreeMap::new()),
            Condition::TrendCross => match candles.last() {
                Some(last) if length.close_of(last) > self.not_before => trend_cross(self.side, candles)?,
                _ => None,
            },
        };
        Ok(indicators.map(|indicators| Signal {
            side: self.side,
            price: tick.price,
            detected_at: tick.time,
            indicators,
        }))
    }
}

/// The averages, if they cross on the last candle in the direction of the side.
fn trend_cross(side: Side, candles: &[Candle]) -> Result<Option<BTreeMap<&'static str, Decimal>>, Overflow> {
    let Some(start) = candles.len().checked_sub(SLOW + 1) else {
        return Ok(None);
    };
    let closes: Vec<Decimal> = candles[start..].iter().map(|candle| candle.close.get()).collect();
    let before = Averages::of(&closes[..SLOW])?;
    let now = Averages::of(&closes[1..])?;
    if before.is_ahead(side)? || !now.is_ahead(side)? {
        return Ok(None);
    }
    Ok(Some(BTreeMap::from([
        ("sma_fast", now.fast()?),
        ("sma_slow", now.slow()?),
        ("previous_sma_fast", before.fast()?),
        ("previous_sma_slow", before.slow()?),
        ("close", closes[SLOW]),
    ])))
}

/// The sums behind the two averages; compared as sums, because a quotient is rounded.
struct Averages {
    fast_sum: Decimal,
    slow_sum: Decimal,
}

impl Averages {
    fn of(closes: &[Decimal]) -> Result<Self, Overflow> {
        let last = |count: usize| sum(closes.iter().rev().take(count).copied());
        Ok(Self { fast_sum: last(FAST)?, slow_sum: last(SLOW)? })
    }

    fn is_ahead(&self, side: Side) -> Result<bool, Overflow> {
        let fast = mul(self.fast_sum, Decimal::from(SLOW))?;
        let slow = mul(self.slow_sum, Decimal::from(FAST))?;
        Ok(ahead(side, fast, slow))
    }

    fn fast(&self) -> Result<Decimal, Overflow> {
        shown(self.fast_sum, FAST)
    }

    fn slow(&self) -> Result<Decimal, Overflow> {
        shown(self.slow_sum, SLOW)
    }
}

/// An average with 8 decimals, for the record only.
fn shown(sum: Decimal, count: usize) -> Result<Decimal, Overflow> {
    Ok(div(sum, Decimal::from(count))?.round_dp(8).normalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::testing::v;

    const LENGTH: CandleLength = CandleLength::QUARTER_HOUR;

    fn at(quarter_hours: usize) -> Timestamp {
        let quarters = i64::try_from(quarter_hours).unwrap();
        Timestamp::from_unix_micros(quarters * 900_000_000).unwrap()
    }

    fn candles(closes: &[i64]) -> Vec<Candle> {
        let candle = |(index, close): (usize, &i64)| {
            let price = Price::new(Decimal::from(*close)).unwrap();
            let open_time = at(index);
            Candle { open_time, open: price, high: price, low: price, close: price, volume: v("1") }
        };
        closes.iter().enumerate().map(candle).collect()
    }

    fn tick(time: Timestamp) -> Tick {
        Tick { time, price: v("101"), quantity: v("1") }
    }

    fn fires(mode: EntryMode, side: Side, not_before: Timestamp, closes: &[i64]) -> Option<Signal> {
        let now = tick(at(closes.len()));
        Detector::new(mode, side, not_before).unwrap().signal(&now, &candles(closes), LENGTH).unwrap()
    }

    /// 21 equal closes, then one more.
    fn flat_then(last: i64) -> Vec<i64> {
        [vec![100; 21], vec![last]].concat()
    }

    #[test]
    fn immediate_fires_on_the_first_price_after_arming() {
        let signal = fires(EntryMode::Immediate, Side::Short, at(0), &[100]).unwrap();
        assert_eq!((signal.side, signal.price, signal.detected_at), (Side::Short, v("101"), at(1)));
        assert_eq!(fires(EntryMode::Immediate, Side::Short, at(1), &[100]), None, "the price is not fresh");
    }

    #[test]
    fn trend_fires_when_the_averages_cross_on_the_last_candle() {
        let fires = |side, closes: &[i64]| fires(EntryMode::ConfirmedTrend, side, at(0), closes).is_some();
        assert!(fires(Side::Long, &flat_then(110)));
        assert!(fires(Side::Short, &flat_then(90)));
        assert!(!fires(Side::Short, &flat_then(110)), "the other way");
        assert!(!fires(Side::Long, &flat_then(100)), "equal is no cross");
        assert!(!fires(Side::Long, &[flat_then(110), vec![111]].concat()), "it crossed one candle ago");
        assert!(!fires(Side::Long, &flat_then(110)[1..]), "21 candles are too few");
    }

    #[test]
    fn trend_needs_a_candle_that_closed_after_arming() {
        let closed_at = at(22);
        let fires = |not_before| {
            let detector = Detector::new(EntryMode::ConfirmedTrend, Side::Long, not_before).unwrap();
            let later = tick(closed_at.plus_micros(60_000_000));
            detector.signal(&later, &candles(&flat_then(110)), LENGTH).unwrap().is_some()
        };
        assert!(fires(closed_at.plus_micros(-1)));
        assert!(!fires(closed_at), "it closed as the position was armed");
    }

    #[test]
    fn a_trend_signal_tells_what_it_was_judged_by() {
        let signal = fires(EntryMode::ConfirmedTrend, Side::Long, at(0), &flat_then(110)).unwrap();
        let told: Vec<String> =
            signal.indicators.iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(
            told,
            [
                "close 110",
                "previous_sma_fast 100",
                "previous_sma_slow 100",
                "sma_fast 101.11111111",
                "sma_slow 100.47619048"
            ]
        );
    }

    #[test]
    fn a_mode_without_a_detector_is_refused() {
        let mode = EntryMode::ConfirmedReversal;
        assert_eq!(Detector::new(mode, Side::Long, at(0)), Err(UnsupportedMode(mode)));
    }
}
