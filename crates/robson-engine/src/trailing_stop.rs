//! Trailing stop: follows the best price and only ever tightens; touching it exits.
//!
//! Each price is checked for the exit *before* the stop is moved. The stop in force is the one in the
//! log: a best price that moved no stop need not be kept, since the next best price decides alike.

use robson_domain::{Fraction, Overflow, Price, Side, TrailingPolicy};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::math::{ahead, div, mul, sub, tick_toward_loss, toward_gain, toward_loss};

/// What is fixed about a position's stop once it is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trail {
    /// The side of the position.
    pub side: Side,
    /// How the stop follows.
    pub policy: TrailingPolicy,
    /// The average price of the entry's fills.
    pub fill: Price,
    /// The technical stop of the decision.
    pub technical_stop: Price,
    /// The distance from entry to technical stop at the decision; above zero.
    pub distance: Decimal,
    /// The venue's price grid.
    pub tick: Price,
    /// The least improvement that moves the stop, as a fraction of the fill.
    pub min_step: Fraction,
}

/// What moves about a position's stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailState {
    /// The stop in force.
    pub stop: Price,
    /// The best price since the fill.
    pub best: Price,
}

/// What a price means for the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailAction {
    /// Nothing.
    Hold,
    /// The stop moves to the one of the new state.
    Move {
        /// The stop that was in force.
        previous_stop: Price,
        /// How many distances the best price has gone, under the span policy.
        completed_spans: Option<u32>,
    },
    /// The stop is touched: close at market.
    Exit,
}

impl Trail {
    /// The state right after the fill: the tighter of the technical stop and one distance behind the fill.
    ///
    /// So a bad fill tightens the stop instead of raising the risk.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn start(&self) -> Result<TrailState, Overflow> {
        let behind_fill = toward_loss(self.side, self.fill.get(), self.distance)?;
        let stop = self.tightened(self.technical_stop, behind_fill);
        Ok(TrailState { stop, best: self.fill })
    }

    /// Decides what a price means: first whether it exits, then whether it moves the stop.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn decide(&self, state: TrailState, price: Price) -> Result<(TrailState, TrailAction), Overflow> {
        if !ahead(self.side, price, state.stop) {
            return Ok((state, TrailAction::Exit));
        }
        let best = if ahead(self.side, price, state.best) { price } else { state.best };
        let held = TrailState { best, ..state };
        let Some((candidate, completed_spans)) = self.candidate(best)? else {
            return Ok((held, TrailAction::Hold));
        };
        let stop = self.tightened(state.stop, candidate);
        let min_step = mul(self.fill.get(), self.min_step.get())?;
        if stop == state.stop || stop.distance(state.stop)? < min_step {
            return Ok((held, TrailAction::Hold));
        }
        let action = TrailAction::Move { previous_stop: state.stop, completed_spans };
        Ok((TrailState { stop, best }, action))
    }

    /// Where the policy wants the stop for a best price, and the completed spans.
    fn candidate(&self, best: Price) -> Result<Option<(Decimal, Option<u32>)>, Overflow> {
        match self.policy {
            TrailingPolicy::Continuous => {
                Ok(Some((toward_loss(self.side, best.get(), self.distance)?, None)))
            }
            TrailingPolicy::Span => {
                let gain = best.distance(self.fill)?;
                let whole = sub(gain, gain.checked_rem(self.distance).ok_or(Overflow)?)?;
                if whole.is_zero() {
                    return Ok(None);
                }
                let behind_fill = toward_loss(self.side, self.fill.get(), self.distance)?;
                let spans = div(whole, self.distance)?.to_u32().ok_or(Overflow)?;
                Ok(Some((toward_gain(self.side, behind_fill, whole)?, Some(spans))))
            }
        }
    }

    /// The candidate on the tick grid, rounded away from the position, unless that would loosen the stop.
    fn tightened(&self, stop: Price, candidate: Decimal) -> Price {
        match tick_toward_loss(self.side, candidate, self.tick) {
            Some(rounded) if ahead(self.side, rounded, stop) => rounded,
            _ => stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::math::testing::v;

    fn trail(side: Side, policy: TrailingPolicy, fill: &str) -> Trail {
        let technical_stop = if side == Side::Long { v("93500") } else { v("96500") };
        Trail {
            side,
            policy,
            fill: v(fill),
            technical_stop,
            distance: v("1500"),
            tick: v("0.1"),
            min_step: Fraction::ZERO,
        }
    }

    /// Replays prices and tells the stop after each: `start; price -> stop; price exits`.
    fn tell(trail: &Trail, prices: &[&str]) -> String {
        let mut state = trail.start().unwrap();
        let mut told = state.stop.to_string();
        for price in prices {
            let (next, action) = trail.decide(state, v(price)).unwrap();
            state = next;
            told += &match action {
                TrailAction::Exit => format!("; {price} exits"),
                _ => format!("; {price} -> {}", state.stop),
            };
        }
        told
    }

    fn check(side: Side, policy: TrailingPolicy, prices: &[&str], expected: &str) {
        assert_eq!(tell(&trail(side, policy, "95000"), prices), expected);
    }

    #[test]
    fn continuous_follows_at_one_distance() {
        check(
            Side::Long,
            TrailingPolicy::Continuous,
            &["96000", "96500", "97000", "96400", "95500"],
            "93500; 96000 -> 94500; 96500 -> 95000; 97000 -> 95500; 96400 -> 95500; 95500 exits",
        );
        check(
            Side::Short,
            TrailingPolicy::Continuous,
            &["93500", "93000", "93600", "94500"],
            "96500; 93500 -> 95000; 93000 -> 94500; 93600 -> 94500; 94500 exits",
        );
    }

    #[test]
    fn span_follows_by_whole_distances() {
        check(
            Side::Long,
            TrailingPolicy::Span,
            &["96000", "96499", "96500", "98000", "99500", "97200"],
            "93500; 96000 -> 93500; 96499 -> 93500; 96500 -> 95000; 98000 -> 96500; 99500 -> 98000; 97200 exits",
        );
        check(
            Side::Short,
            TrailingPolicy::Span,
            &["93501", "93500", "92000", "90500", "92000"],
            "96500; 93501 -> 96500; 93500 -> 95000; 92000 -> 93500; 90500 -> 92000; 92000 exits",
        );
    }

    #[test]
    fn completed_spans_are_told() {
        let trail = trail(Side::Long, TrailingPolicy::Span, "95000");
        let (state, action) = trail.decide(trail.start().unwrap(), v("98100")).unwrap();
        assert_eq!(state, TrailState { stop: v("96500"), best: v("98100") });
        assert_eq!(action, TrailAction::Move { previous_stop: v("93500"), completed_spans: Some(2) });
    }

    #[test]
    fn a_bad_fill_tightens_the_stop() {
        for (side, fill, start) in [
            (Side::Long, "95200", "93700"),
            (Side::Long, "94800", "93500"),
            (Side::Short, "94800", "96300"),
            (Side::Short, "95200", "96500"),
        ] {
            assert_eq!(tell(&trail(side, TrailingPolicy::Continuous, fill), &[]), start);
            assert_eq!(tell(&trail(side, TrailingPolicy::Span, fill), &[]), start);
        }
    }

    #[test]
    fn the_first_price_beyond_the_stop_exits() {
        check(Side::Long, TrailingPolicy::Continuous, &["93500"], "93500; 93500 exits");
        check(Side::Short, TrailingPolicy::Continuous, &["96500.1"], "96500; 96500.1 exits");
    }

    #[test]
    fn triggers_round_to_the_tick_away_from_the_position() {
        for (side, price, told) in [
            (Side::Long, "96000.07", "93500; 96000.07 -> 94500"),
            (Side::Short, "93999.93", "96500; 93999.93 -> 95500"),
        ] {
            check(side, TrailingPolicy::Continuous, &[price], told);
        }
    }

    #[test]
    fn rounding_never_loosens() {
        let odd = Trail { technical_stop: v("93500.05"), ..trail(Side::Long, TrailingPolicy::Span, "95000") };
        assert_eq!(tell(&odd, &["95000.01"]), "93500.05; 95000.01 -> 93500.05");
    }

    #[test]
    fn a_step_that_is_too_small_waits() {
        let trail = Trail { min_step: v("0.0001"), ..trail(Side::Long, TrailingPolicy::Continuous, "95000") };
        assert_eq!(
            tell(&trail, &["95009.4", "95009.5", "95019", "95018.9"]),
            "93500; 95009.4 -> 93500; 95009.5 -> 93509.5; 95019 -> 93519; 95018.9 -> 93519"
        );
    }

    fn any_trail() -> impl Strategy<Value = Trail> {
        let policies = prop_oneof![Just(TrailingPolicy::Continuous), Just(TrailingPolicy::Span)];
        (any::<bool>(), policies, 1_i64..10_000, 0_i64..=50).prop_map(|(long, policy, distance, min_step)| {
            let side = if long { Side::Long } else { Side::Short };
            let distance = Decimal::new(distance, 2);
            let fill: Price = v("1000");
            Trail {
                side,
                policy,
                fill,
                technical_stop: Price::new(toward_loss(side, fill.get(), distance).unwrap()).unwrap(),
                distance,
                tick: v("0.01"),
                min_step: Fraction::new(Decimal::new(min_step, 4)).unwrap(),
            }
        })
    }

    fn prices() -> impl Strategy<Value = Vec<Price>> {
        let price = |cents: i64| Price::new(Decimal::new(cents, 2)).unwrap();
        prop::collection::vec((50_000_i64..150_000).prop_map(price), 1..60)
    }

    fn mirrored(price: Price, around: Price) -> Price {
        Price::new(around.get() * Decimal::TWO - price.get()).unwrap()
    }

    proptest! {
        #[test]
        fn stop_and_best_price_only_improve(trail in any_trail(), prices in prices()) {
            let mut state = trail.start().unwrap();
            for price in prices {
                let touched = !ahead(trail.side, price, state.stop);
                let (next, action) = trail.decide(state, price).unwrap();
                prop_assert!(!ahead(trail.side, state.stop, next.stop));
                prop_assert!(!ahead(trail.side, state.best, next.best));
                match action {
                    // The exit is judged by the stop that stood before this price, and moves nothing.
                    TrailAction::Exit => prop_assert!(touched && next == state),
                    // No stop is emitted twice.
                    TrailAction::Move { previous_stop, .. } => {
                        prop_assert!(!touched && previous_stop == state.stop && next.stop != state.stop);
                    }
                    TrailAction::Hold => prop_assert!(!touched && next.stop == state.stop),
                }
                state = next;
            }
        }

        #[test]
        fn the_sides_mirror(trail in any_trail(), prices in prices()) {
            let mirror = Trail {
                side: trail.side.opposite(),
                technical_stop: mirrored(trail.technical_stop, trail.fill),
                ..trail
            };
            let (mut here, mut there) = (trail.start().unwrap(), mirror.start().unwrap());
            for price in prices {
                let (next_here, action_here) = trail.decide(here, price).unwrap();
                let (next_there, action_there) =
                    mirror.decide(there, mirrored(price, trail.fill)).unwrap();
                prop_assert_eq!(next_there.stop, mirrored(next_here.stop, trail.fill));
                prop_assert_eq!(next_there.best, mirrored(next_here.best, trail.fill));
                prop_assert_eq!(action_here == TrailAction::Exit, action_there == TrailAction::Exit);
                prop_assert_eq!(action_here == TrailAction::Hold, action_there == TrailAction::Hold);
                (here, there) = (next_here, next_there);
            }
        }

        #[test]
        fn a_best_price_that_moved_no_stop_may_be_forgotten(trail in any_trail(), prices in prices()) {
            let mut kept = trail.start().unwrap();
            let mut logged = kept;
            for price in prices {
                let (next, action) = trail.decide(kept, price).unwrap();
                let (from_log, same) = trail.decide(logged, price).unwrap();
                prop_assert_eq!(action, same);
                if let TrailAction::Move { .. } = action {
                    prop_assert_eq!(next, from_log);
                    logged = next;
                }
                kept = next;
            }
        }
    }
}
