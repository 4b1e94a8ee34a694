//! `confirmed_key_level`: the price comes back to a swing level, and the next candle leaves it our way.
//!
//! For a long: one candle's low comes within 0.5 % of a swing low of the last 30 candles, and the candle after
//! it closes above that level, with a body that rises. A short is the mirror at a swing high. The swing was
//! complete before the touch: what the touch itself makes of the chart does not count.

use robson_domain::{Overflow, Price, Side};
use rust_decimal::Decimal;

use super::Indicators;
use crate::candles::Candle;
use crate::math::{ahead, mul};
use crate::technical_stop::swing_levels;

/// Candles that a swing is looked for in, the touch and its confirmation included.
const LOOKBACK: usize = 30;
/// How near the touch comes, as a part of the level.
const TOUCH: Decimal = Decimal::from_parts(5, 0, 0, false, 3);

/// The level that was touched and left, if one was: the nearest to the touch.
pub(super) fn bounce(side: Side, candles: &[Candle]) -> Result<Option<Indicators>, Overflow> {
    let Some(recent) = candles.len().checked_sub(LOOKBACK).map(|start| &candles[start..]) else {
        return Ok(None);
    };
    let [before @ .., touching, last] = recent else { return Ok(None) };
    let touch = touching.adverse(side);
    if !ahead(side, last.close, last.open) {
        return Ok(None);
    }
    let mut nearest: Option<(Decimal, Price)> = None;
    for level in swing_levels(side, before) {
        let away = touch.distance(level)?;
        let is_touched = away <= mul(level.get(), TOUCH)?;
        if is_touched && ahead(side, last.close, level) && nearest.is_none_or(|(least, _)| away < least) {
            nearest = Some((away, level));
        }
    }
    Ok(nearest.map(|(away, level)| {
        Indicators::from([
            ("level", level.get()),
            ("touch", touch.get()),
            ("touch_distance", away),
            ("open", last.open.get()),
            ("close", last.close.get()),
        ])
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::testing::{candles, markets, mirrored, told};

    /// Thirty candles that fall from 1,100 and rise again: one swing low at 1,000, the tenth.
    fn swung(touching: [i64; 4], last: [i64; 4]) -> Vec<[i64; 4]> {
        let near = |index: i64| 1_000 + 10 * (index - 9).abs();
        let mut market: Vec<_> =
            (0..28).map(|index| [near(index) + 2, near(index) + 4, near(index), near(index) + 2]).collect();
        market.extend([touching, last]);
        market
    }

    fn left(side: Side, market: &[[i64; 4]]) -> Option<Vec<String>> {
        bounce(side, &candles(market)).unwrap().map(|indicators| told(&indicators))
    }

    /// Whether a long sees a bounce.
    fn bounces(touching: [i64; 4], last: [i64; 4]) -> bool {
        left(Side::Long, &swung(touching, last)).is_some()
    }

    #[test]
    fn a_touch_within_half_a_percent_and_a_close_beyond_confirm_each_other() {
        let (touching, last) = ([1_020, 1_020, 1_003, 1_010], [1_010, 1_025, 1_008, 1_020]);
        let expected = ["close 1020", "level 1000", "open 1010", "touch 1003", "touch_distance 3"];
        assert_eq!(left(Side::Long, &swung(touching, last)).unwrap(), expected);
        assert_eq!(left(Side::Short, &swung(touching, last)), None);
        let upside_down = ["close 980", "level 1000", "open 990", "touch 997", "touch_distance 3"];
        assert_eq!(left(Side::Short, &mirrored(&swung(touching, last))).unwrap(), upside_down);
    }

    #[test]
    fn each_half_of_the_condition_is_needed() {
        let last = [1_010, 1_025, 1_008, 1_020];
        for (touching, last, expected, why) in [
            ([1_020, 1_020, 1_005, 1_010], last, true, "half a percent above"),
            ([1_020, 1_020, 995, 1_010], last, true, "half a percent below"),
            ([1_020, 1_020, 1_006, 1_010], last, false, "not near enough"),
            ([1_020, 1_020, 994, 1_010], last, false, "through it"),
            ([1_020, 1_020, 1_003, 1_010], [1_020, 1_025, 1_008, 1_010], false, "the body falls"),
            ([1_020, 1_020, 1_003, 1_010], [1_010, 1_025, 1_008, 1_010], false, "there is no body"),
            ([1_000, 1_000, 998, 998], [998, 1_000, 998, 1_000], false, "it closes at the level, not beyond"),
            ([1_000, 1_000, 998, 998], [998, 1_001, 998, 1_001], true, "beyond"),
        ] {
            assert_eq!(bounces(touching, last), expected, "{touching:?} {last:?}: {why}");
        }
    }

    #[test]
    fn a_swing_is_complete_before_it_is_touched_and_of_the_last_thirty() {
        let (touching, last) = ([1_020, 1_020, 1_003, 1_010], [1_010, 1_025, 1_008, 1_020]);
        let market = swung(touching, last);
        let later = |count: usize| {
            let mut market = market.clone();
            let touched = market.split_off(28);
            market.extend(vec![[1_182, 1_184, 1_180, 1_182]; count]);
            market.extend(touched);
            left(Side::Long, &market).is_some()
        };
        assert!(later(7), "two candles stand before the swing");
        assert!(!later(8), "one does, so that it is none within the last thirty");
        assert_eq!(left(Side::Long, &market[1..]), None, "29 candles are too few");
        let falling: Vec<_> =
            (0..30).map(|n| [1_302 - 10 * n, 1_304 - 10 * n, 1_300 - 10 * n, 1_302 - 10 * n]).collect();
        assert_eq!(left(Side::Long, &falling), None, "no swing at all");
    }

    #[test]
    fn of_two_levels_the_nearer_one_is_told() {
        let mut market = swung([1_020, 1_020, 1_003, 1_010], [1_010, 1_025, 1_008, 1_020]);
        for (index, low) in [(18, 1_050), (19, 1_040), (20, 1_004), (21, 1_040), (22, 1_050)] {
            market[index] = [1_060, 1_062, low, 1_060];
        }
        let told = left(Side::Long, &market).unwrap();
        assert_eq!(told[1], "level 1004");
    }

    proptest! {
        #[test]
        fn the_mirror_of_a_market_bounces_the_other_way(market in markets(30)) {
            let long = bounce(Side::Long, &candles(&market)).unwrap();
            let short = bounce(Side::Short, &candles(&mirrored(&market))).unwrap();
            prop_assert_eq!(long.is_some(), short.is_some());
            if let (Some(long), Some(short)) = (long, short) {
                prop_assert_eq!(long["touch"] + short["touch"], Decimal::from(2_000));
                prop_assert_eq!(long["touch_distance"], short["touch_distance"]);
                prop_assert!(long["close"] > long["level"] && short["close"] < short["level"]);
            }
        }
    }
}
