//! `confirmed_trend`: two averages of closes cross on the last candle.

use robson_domain::{Overflow, Side};
use rust_decimal::Decimal;

use super::Indicators;
use crate::candles::Candle;
use crate::math::{ahead, div, mul, sum};

/// Closes in the fast average.
const FAST: usize = 9;
/// Closes in the slow average.
const SLOW: usize = 21;

/// The averages, if they cross on the last candle in the direction of the side.
pub(super) fn cross(side: Side, candles: &[Candle]) -> Result<Option<Indicators>, Overflow> {
    let Some(start) = candles.len().checked_sub(SLOW + 1) else {
        return Ok(None);
    };
    let closes: Vec<Decimal> = candles[start..].iter().map(|candle| candle.close.get()).collect();
    let before = Averages::of(&closes[..SLOW])?;
    let now = Averages::of(&closes[1..])?;
    if before.is_ahead(side)? || !now.is_ahead(side)? {
        return Ok(None);
    }
    Ok(Some(Indicators::from([
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
    use proptest::prelude::*;

    use super::*;
    use crate::entry::testing::{candles, closes, markets, mirrored, told};

    /// 21 equal closes, then one more.
    fn flat_then(last: i64) -> Vec<i64> {
        [vec![100; 21], vec![last]].concat()
    }

    #[test]
    fn trend_fires_when_the_averages_cross_on_the_last_candle() {
        let fires = |side, prices: &[i64]| cross(side, &closes(prices)).unwrap().is_some();
        assert!(fires(Side::Long, &flat_then(110)));
        assert!(fires(Side::Short, &flat_then(90)));
        assert!(!fires(Side::Short, &flat_then(110)), "the other way");
        assert!(!fires(Side::Long, &flat_then(100)), "equal is no cross");
        assert!(!fires(Side::Long, &[flat_then(110), vec![111]].concat()), "it crossed one candle ago");
        assert!(!fires(Side::Long, &flat_then(110)[1..]), "21 candles are too few");
    }

    #[test]
    fn a_cross_tells_what_it_was_judged_by() {
        let indicators = cross(Side::Long, &closes(&flat_then(110))).unwrap().unwrap();
        assert_eq!(
            told(&indicators),
            [
                "close 110",
                "previous_sma_fast 100",
                "previous_sma_slow 100",
                "sma_fast 101.11111111",
                "sma_slow 100.47619048"
            ]
        );
    }

    proptest! {
        #[test]
        fn the_mirror_of_a_market_crosses_the_other_way(market in markets(22)) {
            let long = cross(Side::Long, &candles(&market)).unwrap();
            let short = cross(Side::Short, &candles(&mirrored(&market))).unwrap();
            prop_assert_eq!(long.is_some(), short.is_some());
        }
    }
}
