//! `confirmed_reversal`: a candle that turns a run of closes, at the extreme of the last candles.
//!
//! For a long: after three candles that each closed below the one before, a hammer or a bullish engulfing
//! whose low no other of the last eight candles undercuts. A short is the mirror: a shooting star or a
//! bearish engulfing at a high.

use robson_domain::{Overflow, Side};
use rust_decimal::Decimal;

use super::Indicators;
use crate::candles::Candle;
use crate::math::{ahead, mul, sub};

/// Closes in a row that went against the side, each against the one before.
const RUN: usize = 3;
/// Candles that the pattern is the extreme of, itself included.
const LOOKBACK: usize = 8;
/// The largest body of a hammer, as a part of its range.
const BODY_MAX: Decimal = Decimal::from_parts(35, 0, 0, false, 2);
/// How many bodies long the tail of a hammer is at least.
const TAIL_BODIES: Decimal = Decimal::TWO;

/// What the last candle was judged by, if it turns the run.
pub(super) fn candle(side: Side, candles: &[Candle]) -> Result<Option<Indicators>, Overflow> {
    let Some(recent) = candles.len().checked_sub(LOOKBACK).map(|start| &candles[start..]) else {
        return Ok(None);
    };
    let (last, before) = (&recent[LOOKBACK - 1], &recent[LOOKBACK - 2]);
    let run = &recent[LOOKBACK - 2 - RUN..LOOKBACK - 1];
    if !run.windows(2).all(|pair| ahead(side, pair[0].close, pair[1].close)) {
        return Ok(None);
    }
    let extremes = recent.iter().map(|candle| candle.adverse(side));
    let Some(extreme) = extremes.reduce(|worst, next| if ahead(side, worst, next) { next } else { worst })
    else {
        return Ok(None);
    };
    let told = match hammer(side, last)? {
        Some(told) if last.adverse(side) == extreme => Some(told),
        _ => {
            let reaches = last.adverse(side) == extreme || before.adverse(side) == extreme;
            engulfing(side, before, last)?.filter(|_| reaches)
        }
    };
    Ok(told.map(|mut told| {
        told.extend([("close", last.close.get()), ("extreme", extreme.get())]);
        told
    }))
}

/// A small body at the far end of a long tail; for a short a shooting star.
fn hammer(side: Side, candle: &Candle) -> Result<Option<Indicators>, Overflow> {
    let (open, close) = (candle.open, candle.close);
    let (range, body) = (candle.high.distance(candle.low)?, open.distance(close)?);
    let below = sub(open.min(close).get(), candle.low.get())?;
    let above = sub(candle.high.get(), open.max(close).get())?;
    let (tail, other) = match side {
        Side::Long => (below, above),
        Side::Short => (above, below),
    };
    let is_hammer =
        !range.is_zero() && body <= mul(range, BODY_MAX)? && tail >= mul(body, TAIL_BODIES)? && other <= body;
    let told =
        || Indicators::from([("body", body), ("range", range), ("tail", tail), ("other_shadow", other)]);
    Ok(is_hammer.then(told))
}

/// A body our way that covers the body before it, which went the other way, and is larger.
fn engulfing(side: Side, before: &Candle, last: &Candle) -> Result<Option<Indicators>, Overflow> {
    let (body, engulfed) = (last.open.distance(last.close)?, before.open.distance(before.close)?);
    let is_engulfing = ahead(side, before.open, before.close)
        && !ahead(side, last.open, before.close)
        && !ahead(side, before.open, last.close)
        && body > engulfed;
    Ok(is_engulfing.then(|| Indicators::from([("body", body), ("engulfed_body", engulfed)])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::testing::{candles, markets, mirrored, told};

    /// Eight candles: four calm ones, three that fall from 1,000 to 970, and the one to judge.
    fn fallen(last: [i64; 4]) -> Vec<[i64; 4]> {
        let mut market = vec![[1_000, 1_002, 998, 1_000]; 4];
        market.extend([[1_000, 1_001, 989, 990], [990, 991, 979, 980], [980, 981, 969, 970], last]);
        market
    }

    fn judged(side: Side, market: &[[i64; 4]]) -> Option<Vec<String>> {
        candle(side, &candles(market)).unwrap().map(|indicators| told(&indicators))
    }

    /// Whether the candle turns the fall for a long, which its mirror must do for a short.
    fn turns(market: &[[i64; 4]]) -> bool {
        let long = judged(Side::Long, market).is_some();
        assert_eq!(judged(Side::Short, &mirrored(market)).is_some(), long, "the mirror");
        assert_eq!(judged(Side::Short, market), None, "the other side");
        long
    }

    #[test]
    fn a_hammer_has_a_small_body_a_long_tail_and_hardly_another_shadow() {
        for (last, expected, why) in [
            ([970, 972, 950, 972], true, "a tail of 20 under a body of 2"),
            ([970, 970, 950, 968], true, "its colour is of no matter"),
            ([970, 970, 950, 970], true, "nor is it, where the body is nothing"),
            ([970, 978, 958, 978], false, "a body of 8 in a range of 20"),
            ([966, 972, 955, 972], false, "a tail of 11 under a body of 6"),
            ([966, 972, 954, 972], true, "a tail of 12 under a body of 6"),
            ([966, 978, 950, 972], true, "another shadow as long as the body"),
            ([966, 979, 950, 972], false, "a longer one"),
            ([960, 960, 960, 960], false, "one price is no hammer"),
        ] {
            assert_eq!(turns(&fallen(last)), expected, "{last:?}: {why}");
        }
        let expected = ["body 2", "close 972", "extreme 950", "other_shadow 0", "range 22", "tail 20"];
        assert_eq!(judged(Side::Long, &fallen([970, 972, 950, 972])).unwrap(), expected);
    }

    #[test]
    fn an_engulfing_body_covers_the_one_before_and_is_larger() {
        for (last, expected, why) in [
            ([970, 982, 968, 981], true, "it opens where the last closed and closes beyond its open"),
            ([969, 981, 968, 980], true, "or the reverse"),
            ([970, 981, 968, 980], false, "as large is not larger"),
            ([971, 990, 968, 989], false, "it opens inside"),
            ([960, 980, 959, 979], false, "it closes inside"),
            ([981, 982, 968, 969], false, "it falls"),
        ] {
            assert_eq!(turns(&fallen(last)), expected, "{last:?}: {why}");
        }
        let expected = ["body 11", "close 981", "engulfed_body 10", "extreme 968"];
        assert_eq!(judged(Side::Long, &fallen([970, 982, 968, 981])).unwrap(), expected);
        let mut risen = fallen([970, 982, 968, 981]);
        risen[6] = [968, 981, 967, 970];
        assert!(!turns(&risen), "the one before went our way already");
    }

    #[test]
    fn it_stands_at_the_extreme_of_the_last_eight() {
        let mut market = fallen([970, 972, 950, 972]);
        market[0] = [1_000, 1_002, 949, 1_000];
        assert!(!turns(&market), "one of the eight was lower");
        market.insert(1, [1_000, 1_002, 998, 1_000]);
        assert!(turns(&market), "it was the ninth");
        market[1] = [1_000, 1_002, 950, 1_000];
        assert!(turns(&market), "as low is not lower");
        let engulfing_above_the_low = fallen([970, 982, 970, 981]);
        assert!(turns(&engulfing_above_the_low), "the engulfed candle has the low");
    }

    #[test]
    fn three_closes_fell_before_it() {
        let hammer = [970, 972, 950, 972];
        let mut market = fallen(hammer);
        market[4] = [1_000, 1_001, 989, 1_000];
        assert!(!turns(&market), "the first of them did not");
        assert!(!turns(&fallen(hammer)[1..]), "seven candles are too few");
    }

    proptest! {
        #[test]
        fn the_mirror_of_a_market_turns_the_other_way(market in markets(8)) {
            let mut market = market;
            for (candle, close) in market[3..7].iter_mut().zip([1_000, 990, 980, 970]) {
                // A fall in front of the last candle, so that some of the markets turn.
                *candle = [candle[0], candle[1].max(close), candle[2].min(close), close];
            }
            let long = candle(Side::Long, &candles(&market)).unwrap();
            let short = candle(Side::Short, &candles(&mirrored(&market))).unwrap();
            prop_assert_eq!(long.as_ref().map(|told| told.keys().copied().collect::<Vec<_>>()), short.as_ref().map(|told| told.keys().copied().collect()));
            if let (Some(long), Some(short)) = (long, short) {
                prop_assert_eq!(long["extreme"] + short["extreme"], Decimal::from(2_000));
                prop_assert_eq!(long["body"], short["body"]);
            }
        }
    }
}
