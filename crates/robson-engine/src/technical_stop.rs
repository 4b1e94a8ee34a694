//! Technical stop: the chart level that proves the idea wrong, read from closed candles.
//!
//! It is the second cluster of swing lows below a long (of swing highs above a short), never a percentage
//! of the price; where the chart has none within bounds, 1.5 average true ranges stand in for it.

use std::num::NonZeroU32;

use robson_domain::{Confidence, Fraction, Overflow, Price, Side, SkipReason, StopMethod};
use rust_decimal::Decimal;

use crate::candles::Candle;
use crate::math::{ahead, bps, div, mul, sub, sum, tick_toward_loss, toward_loss};

/// Candles on each side of a swing that must stand clear of it.
const SWING_REACH: usize = 2;
/// True ranges that the average is taken over.
const ATR_LENGTH: usize = 14;
/// Average true ranges from the entry to the stand-in stop.
const ATR_FACTOR: Decimal = Decimal::from_parts(15, 0, 0, false, 1);

/// How near and how far a stop may stand, as fractions of the entry, both inclusive.
///
/// One value serves the choice of the level, its rounding and the last look before the order, so that
/// they cannot disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopBounds {
    min: Fraction,
    max: Fraction,
}

/// Why a price cannot be the stop of an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// The bounds themselves are not 0 < min <= max < 1.
    #[error("stop bounds from {min} to {max} leave no room")]
    NoRoom {
        /// The lower bound.
        min: Fraction,
        /// The upper bound.
        max: Fraction,
    },
    /// It is on the gain side of the entry.
    #[error("stop {stop} is on the gain side of a {side} at {entry}")]
    WrongSide {
        /// The side.
        side: Side,
        /// The entry.
        entry: Price,
        /// The stop.
        stop: Price,
    },
    /// It is nearer than the lower bound.
    #[error("stop distance {actual} is below {limit}")]
    BelowMin {
        /// The smallest distance.
        limit: Decimal,
        /// The distance.
        actual: Decimal,
    },
    /// It is farther than the upper bound.
    #[error("stop distance {actual} is above {limit}")]
    AboveMax {
        /// The largest distance.
        limit: Decimal,
        /// The distance.
        actual: Decimal,
    },
    /// The prices are too large to calculate with.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl Default for StopBounds {
    /// From 0.1 % to 10 %.
    fn default() -> Self {
        Self { min: bps(10), max: bps(1_000) }
    }
}

impl StopBounds {
    /// Bounds with 0 < min <= max < 1.
    ///
    /// # Errors
    /// `NoRoom`.
    pub fn new(min: Fraction, max: Fraction) -> Result<Self, OutOfBounds> {
        if Fraction::ZERO < min && min <= max && max.get() < Decimal::ONE {
            Ok(Self { min, max })
        } else {
            Err(OutOfBounds::NoRoom { min, max })
        }
    }

    /// The distance from entry to stop, if it is within the bounds: the last look at a decision.
    ///
    /// # Errors
    /// Why the stop is none.
    pub fn distance(&self, side: Side, entry: Price, stop: Price) -> Result<Decimal, OutOfBounds> {
        if ahead(side, stop, entry) {
            return Err(OutOfBounds::WrongSide { side, entry, stop });
        }
        self.check(entry, entry.distance(stop)?)
    }

    /// The level on the tick grid, rounded away from the position, and its distance from the entry.
    ///
    /// # Errors
    /// Why the rounded level is no stop.
    fn place(
        &self,
        side: Side,
        entry: Price,
        level: Decimal,
        tick: Price,
    ) -> Result<(Price, Decimal), OutOfBounds> {
        match tick_toward_loss(side, level, tick) {
            Some(stop) => Ok((stop, self.distance(side, entry, stop)?)),
            None => {
                let actual = sub(entry.get(), level)?.abs();
                Err(OutOfBounds::AboveMax { limit: mul(entry.get(), self.max.get())?, actual })
            }
        }
    }

    fn check(&self, entry: Price, actual: Decimal) -> Result<Decimal, OutOfBounds> {
        let limit = |bound: Fraction| mul(entry.get(), bound.get()).map(|limit| limit.normalize());
        let (min, max) = (limit(self.min)?, limit(self.max)?);
        if actual < min {
            Err(OutOfBounds::BelowMin { limit: min, actual })
        } else if actual > max {
            Err(OutOfBounds::AboveMax { limit: max, actual })
        } else {
            Ok(actual)
        }
    }
}

/// How stops are read from the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopRules {
    /// How near and how far a stop may stand.
    pub bounds: StopBounds,
    /// The level that is wanted, counted from the entry.
    pub level_n: NonZeroU32,
    /// The candles that are needed and looked at: the last so many, so that a longer memory changes nothing.
    pub lookback: usize,
    /// How far a swing may lie from a cluster's mean to join it, as a fraction of the entry.
    pub tolerance: Fraction,
}

impl Default for StopRules {
    /// The second level of the last 100 candles, clusters within 0.5 %, stops from 0.1 % to 10 %.
    fn default() -> Self {
        let level_n = NonZeroU32::MIN.saturating_add(1);
        Self { bounds: StopBounds::default(), level_n, lookback: 100, tolerance: bps(50) }
    }
}

/// A level that was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkippedLevel {
    /// Where the cluster stands.
    pub level: Price,
    /// How far from the entry, in quote units, after rounding to the tick.
    pub distance: Decimal,
    /// Why.
    pub reason: SkipReason,
}

/// A stop, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TechnicalStop {
    /// The stop, on the tick grid.
    pub stop: Price,
    /// Its distance from the entry, within the bounds.
    pub distance: Decimal,
    /// Where it comes from.
    pub method: StopMethod,
    /// The level that was wanted.
    pub configured_level_n: u32,
    /// The level that was taken, if it is one.
    pub level_n: Option<u32>,
    /// The levels that were passed over, nearest first.
    pub skipped_levels: Vec<SkippedLevel>,
    /// How much the stop says about the chart.
    pub confidence: Confidence,
    /// How many candles were looked at.
    pub candles: usize,
}

/// Why there is no stop; the signal is then refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoStop {
    /// The chart is too short to judge.
    #[error("{actual} closed candles, {expected} are needed")]
    TooFewCandles {
        /// How many are needed.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// Neither a level nor the average true range is within bounds.
    #[error("no stop within bounds: {} levels skipped, average true range: {atr}", skipped_levels.len())]
    NoValidStop {
        /// The levels that were passed over, nearest first.
        skipped_levels: Vec<SkippedLevel>,
        /// What is wrong with the stand-in.
        atr: OutOfBounds,
    },
    /// The prices are too large to calculate with.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl NoStop {
    /// The reason as it is stored.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooFewCandles { .. } => "too_few_candles",
            Self::NoValidStop { .. } => "no_valid_stop",
            Self::Overflow(_) => "overflow",
        }
    }
}

/// Reads the stop of an entry from closed candles, oldest first.
///
/// # Errors
/// Why there is none.
pub fn analyze(
    side: Side,
    entry: Price,
    candles: &[Candle],
    tick: Price,
    rules: &StopRules,
) -> Result<TechnicalStop, NoStop> {
    let expected = rules.lookback.max(ATR_LENGTH + 1);
    let Some(start) = candles.len().checked_sub(expected) else {
        return Err(NoStop::TooFewCandles { expected, actual: candles.len() });
    };
    let candles = &candles[start..];
    let wanted = rules.level_n.get();
    let mut skipped_levels = Vec::new();
    for (level_n, level) in (1..).zip(levels(side, entry, candles, rules.tolerance)?) {
        if level_n < wanted {
            continue;
        }
        let (distance, reason) = match rules.bounds.place(side, entry, level.get(), tick) {
            Ok((stop, distance)) => {
                let confidence = if level_n == wanted { Confidence::High } else { Confidence::Medium };
                return Ok(TechnicalStop {
                    stop,
                    distance,
                    method: StopMethod::Swing,
                    configured_level_n: wanted,
                    level_n: Some(level_n),
                    skipped_levels,
                    confidence,
                    candles: candles.len(),
                });
            }
            Err(OutOfBounds::BelowMin { actual, .. }) => (actual, SkipReason::BelowMin),
            Err(OutOfBounds::AboveMax { actual, .. }) => (actual, SkipReason::AboveMax),
            Err(_) => return Err(Overflow.into()),
        };
        skipped_levels.push(SkippedLevel { level, distance, reason });
        if reason == SkipReason::AboveMax {
            break;
        }
    }
    let stand_in = toward_loss(side, entry.get(), mul(average_true_range(candles)?, ATR_FACTOR)?)?;
    match rules.bounds.place(side, entry, stand_in, tick) {
        Ok((stop, distance)) => Ok(TechnicalStop {
            stop,
            distance,
            method: StopMethod::Atr,
            configured_level_n: wanted,
            level_n: None,
            skipped_levels,
            confidence: Confidence::Low,
            candles: candles.len(),
        }),
        Err(OutOfBounds::Overflow(overflow)) => Err(overflow.into()),
        Err(atr) => Err(NoStop::NoValidStop { skipped_levels, atr }),
    }
}

/// The clusters of swings on the loss side, nearest to the entry first.
///
/// Each stands at its adverse extreme, not at its mean: an ordinary test of the zone would fill a stop
/// at the mean.
fn levels(side: Side, entry: Price, candles: &[Candle], tolerance: Fraction) -> Result<Vec<Price>, Overflow> {
    struct Cluster {
        sum: Decimal,
        count: Decimal,
        extreme: Price,
    }
    let tolerance = mul(entry.get(), tolerance.get())?;
    let mut clusters: Vec<Cluster> = Vec::new();
    for swing in swings(side, entry, candles) {
        let joins = |cluster: &Cluster| {
            // |swing - sum / count| <= tolerance, without the rounding of a division.
            let off = sub(mul(swing.get(), cluster.count)?, cluster.sum)?.abs();
            Ok::<_, Overflow>(off <= mul(tolerance, cluster.count)?)
        };
        let mut home = None;
        for (index, cluster) in clusters.iter().enumerate() {
            if joins(cluster)? {
                home = Some(index);
                break;
            }
        }
        match home {
            Some(index) => {
                let cluster = &mut clusters[index];
                cluster.sum = sum([cluster.sum, swing.get()])?;
                cluster.count = sum([cluster.count, Decimal::ONE])?;
                if ahead(side, cluster.extreme, swing) {
                    cluster.extreme = swing;
                }
            }
            None => clusters.push(Cluster { sum: swing.get(), count: Decimal::ONE, extreme: swing }),
        }
    }
    let mut levels: Vec<Price> = clusters.into_iter().map(|cluster| cluster.extreme).collect();
    levels.sort();
    if side == Side::Long {
        levels.reverse();
    }
    Ok(levels)
}

/// The swing lows below a long or swing highs above a short, ascending.
fn swings(side: Side, entry: Price, candles: &[Candle]) -> Vec<Price> {
    let mut swings: Vec<Price> =
        swing_levels(side, candles).filter(|swing| ahead(side, entry, *swing)).collect();
    swings.sort();
    swings
}

/// The lows (for a short the highs) that two candles on each side stand clear of, oldest first.
pub(crate) fn swing_levels(side: Side, candles: &[Candle]) -> impl Iterator<Item = Price> + '_ {
    candles.windows(2 * SWING_REACH + 1).filter_map(move |window| {
        let swing = window[SWING_REACH].adverse(side);
        let clear = |(index, candle): (usize, &Candle)| {
            index == SWING_REACH || ahead(side, candle.adverse(side), swing)
        };
        window.iter().enumerate().all(clear).then_some(swing)
    })
}

/// The mean of the last true ranges; the caller has seen to it that there are enough candles.
fn average_true_range(candles: &[Candle]) -> Result<Decimal, Overflow> {
    let ranges = candles.windows(2).rev().take(ATR_LENGTH).map(|pair| {
        let (before, candle) = (pair[0].close, pair[1]);
        sub(candle.high.max(before).get(), candle.low.min(before).get())
    });
    let ranges: Vec<Decimal> = ranges.collect::<Result<_, _>>()?;
    div(sum(ranges)?, Decimal::from(ATR_LENGTH))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use robson_domain::Timestamp;

    use super::*;
    use crate::math::testing::v;

    fn candle(index: i64, low: Decimal, high: Decimal) -> Candle {
        let price = |p| Price::new(p).unwrap();
        Candle {
            open_time: Timestamp::from_unix_micros(index * 900_000_000).unwrap(),
            open: price(high),
            high: price(high),
            low: price(low),
            close: price(high),
            volume: v("1"),
        }
    }

    /// A chart of 100 candles that lies flat on the gain side of the entry, with the given swings.
    fn chart(side: Side, entry: &str, swings: &[&str]) -> Vec<Candle> {
        let entry: Decimal = v(entry);
        let flat = entry + if side == Side::Long { Decimal::from(10) } else { Decimal::from(-10) };
        let mut candles: Vec<Candle> = (0..100).map(|index| candle(index, flat, flat)).collect();
        for (at, swing) in swings.iter().enumerate() {
            let at = 5 + at * 5;
            let swing = v::<Price>(swing);
            match side {
                Side::Long => candles[at].low = swing,
                Side::Short => candles[at].high = swing,
            }
        }
        candles
    }

    fn stop_of(side: Side, entry: &str, swings: &[&str]) -> Result<TechnicalStop, NoStop> {
        analyze(side, v(entry), &chart(side, entry, swings), v("0.1"), &StopRules::default())
    }

    fn check(side: Side, entry: &str, swings: &[&str], expected: &str) {
        let actual = match stop_of(side, entry, swings) {
            Ok(stop) => tell(&stop),
            Err(NoStop::NoValidStop { skipped_levels, .. }) => format!("none{}", tell_skips(&skipped_levels)),
            Err(other) => other.to_string(),
        };
        assert_eq!(actual, expected, "{side} {entry} {swings:?}");
    }

    fn tell(stop: &TechnicalStop) -> String {
        let level = stop.level_n.map_or(String::new(), |n| format!(" {n}"));
        let (method, confidence) = (stop.method.as_str(), stop.confidence.as_str());
        format!("{} {method}{level} {confidence}{}", stop.stop, tell_skips(&stop.skipped_levels))
    }

    fn tell_skips(skips: &[SkippedLevel]) -> String {
        skips.iter().map(|s| format!("; {} {} {}", s.level, s.distance, s.reason.as_str())).collect()
    }

    #[test]
    fn the_second_level_is_taken() {
        check(Side::Long, "95000", &["94200", "94000", "93500", "92000"], "93500 swing 2 high");
        check(Side::Long, "95000", &["92000", "93500", "94000", "94200"], "93500 swing 2 high");
        check(Side::Short, "95000", &["95800", "96000", "96500", "98000"], "96500 swing 2 high");
    }

    #[test]
    fn a_cluster_stands_at_its_adverse_extreme() {
        check(Side::Short, "63500", &["63560", "63800", "63950.5", "64131.4"], "64131.4 swing 2 high");
        check(Side::Long, "95000", &["94500", "93500", "93300", "93100"], "93100 swing 2 high");
    }

    #[test]
    fn a_level_that_is_too_near_sends_it_deeper() {
        // With the default tolerance such levels are one cluster.
        check(Side::Long, "100000", &["99980", "99950", "99000", "98000"], "99000 swing 2 high");
        let rules = StopRules { tolerance: Fraction::ZERO, ..StopRules::default() };
        let chart = chart(Side::Long, "100000", &["99980", "99950", "99000", "98000"]);
        let stop = analyze(Side::Long, v("100000"), &chart, v("0.1"), &rules).unwrap();
        assert_eq!(tell(&stop), "99000 swing 3 medium; 99950 50 below_min");
    }

    #[test]
    fn a_level_that_is_too_far_ends_the_search() {
        check(Side::Long, "95000", &["94000", "85000", "84000"], "none; 85000 10000 above_max");
        check(Side::Long, "95000", &["94000", "85500"], "85500 swing 2 high");
    }

    #[test]
    fn it_is_never_shallower_than_the_second_level() {
        check(Side::Long, "95000", &["94000"], "none");
    }

    #[test]
    fn the_average_true_range_stands_in() {
        let mut candles = chart(Side::Long, "95000", &["94000"]);
        for candle in candles.iter_mut().rev().take(14) {
            candle.low = v("94910");
        }
        // 14 true ranges of 100.
        let stop = analyze(Side::Long, v("95000"), &candles, v("0.1"), &StopRules::default()).unwrap();
        assert_eq!(tell(&stop), "94850 atr low");
        let stop = analyze(Side::Short, v("95000"), &candles, v("0.1"), &StopRules::default()).unwrap();
        assert_eq!(tell(&stop), "95150 atr low");
    }

    #[test]
    fn a_chart_without_movement_has_no_stop() {
        let refusal = stop_of(Side::Long, "95000", &[]).unwrap_err();
        assert_eq!(refusal.code(), "no_valid_stop");
        assert!(matches!(refusal, NoStop::NoValidStop { atr: OutOfBounds::BelowMin { .. }, .. }));
    }

    #[test]
    fn a_swing_stands_strictly_clear_of_two_candles_on_each_side() {
        let mut candles = chart(Side::Long, "95000", &["94000", "93000"]);
        assert_eq!(swings(Side::Long, v("95000"), &candles), [v("93000"), v("94000")]);
        candles[12].low = v("93000");
        assert_eq!(swings(Side::Long, v("95000"), &candles), [v("94000")]);
        candles[98].low = v("92000");
        assert_eq!(swings(Side::Long, v("95000"), &candles), [v("94000")], "the last two cannot be judged");
    }

    #[test]
    fn a_short_chart_is_refused_and_older_candles_change_nothing() {
        let rules = StopRules::default();
        let candles = chart(Side::Long, "95000", &["94000", "93000"]);
        assert_eq!(
            analyze(Side::Long, v("95000"), &candles[1..], v("0.1"), &rules),
            Err(NoStop::TooFewCandles { expected: 100, actual: 99 })
        );
        let older = [chart(Side::Long, "95000", &["94500"]), candles.clone()].concat();
        assert_eq!(
            analyze(Side::Long, v("95000"), &older, v("0.1"), &rules),
            analyze(Side::Long, v("95000"), &candles, v("0.1"), &rules)
        );
    }

    #[test]
    fn rounding_goes_away_from_the_position_and_stays_in_bounds() {
        let bounds = StopBounds::default();
        let place = |side, level| bounds.place(side, v("100"), v(level), v("0.1"));
        assert_eq!(place(Side::Long, "98.77").unwrap().0, v("98.7"));
        assert_eq!(place(Side::Short, "101.23").unwrap().0, v("101.3"));
        assert_eq!(place(Side::Long, "90").unwrap().1, v("10"));
        let coarse = bounds.place(Side::Long, v("100"), v("90.5"), v("4"));
        assert!(matches!(coarse, Err(OutOfBounds::AboveMax { .. })), "rounding cannot leave the bounds");
        assert!(matches!(place(Side::Long, "-3"), Err(OutOfBounds::AboveMax { .. })));
    }

    #[test]
    fn the_last_look_uses_the_same_bounds() {
        let bounds = StopBounds::default();
        assert_eq!(bounds.distance(Side::Long, v("100"), v("99.9")), Ok(v("0.1")));
        assert!(matches!(
            bounds.distance(Side::Long, v("100"), v("99.91")),
            Err(OutOfBounds::BelowMin { .. })
        ));
        assert!(matches!(
            bounds.distance(Side::Short, v("100"), v("99")),
            Err(OutOfBounds::WrongSide { .. })
        ));
        assert!(StopBounds::new(v("0.2"), v("0.1")).is_err());
        assert!(StopBounds::new(v("0"), v("0.1")).is_err());
    }

    fn recorded_hours() -> Vec<Candle> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/coinbase-btcusd-1h.csv");
        let text = std::fs::read_to_string(path).unwrap();
        let row = |line: &str| {
            let f: Vec<&str> = line.split(',').collect();
            Candle {
                open_time: v(f[0]),
                open: v(f[1]),
                high: v(f[2]),
                low: v(f[3]),
                close: v(f[4]),
                volume: v(f[5]),
            }
        };
        text.lines().skip(1).map(row).collect()
    }

    #[test]
    fn recorded_candles_give_these_stops() {
        let candles = recorded_hours();
        let mut told = String::new();
        for at in (500..candles.len()).step_by(2_450) {
            let (seen, next) = (&candles[..at], &candles[at]);
            for side in [Side::Long, Side::Short] {
                let stop = match analyze(side, next.open, seen, v("0.01"), &StopRules::default()) {
                    Ok(stop) => tell(&stop),
                    Err(none) => none.to_string(),
                };
                told.push_str(&format!("{} {side} {}: {stop}\n", next.open_time, next.open));
            }
        }
        insta::assert_snapshot!(told);
    }

    proptest! {
        #[test]
        fn a_stop_is_within_its_bounds_and_on_the_grid(
            long in any::<bool>(),
            walk in prop::collection::vec((-300_i64..300, 1_i64..400), 100..140),
        ) {
            let side = if long { Side::Long } else { Side::Short };
            let mut low = 1_000_000_i64;
            let candles: Vec<Candle> = (0..).zip(&walk).map(|(index, (step, range))| {
                low += step;
                candle(index, Decimal::new(low, 2), Decimal::new(low + range, 2))
            }).collect();
            let entry = candles.last().unwrap().close;
            let tick: Price = v("0.05");
            if let Ok(stop) = analyze(side, entry, &candles, tick, &StopRules::default()) {
                prop_assert_eq!(StopBounds::default().distance(side, entry, stop.stop), Ok(stop.distance));
                prop_assert_eq!(stop.stop.floor_to(tick), Some(stop.stop));
                prop_assert!(stop.level_n.is_none_or(|n| n >= stop.configured_level_n));
            }
        }
    }
}
