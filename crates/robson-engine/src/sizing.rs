//! Position size: derived from the capital at risk and the distance to the stop, never chosen.
//!
//! The plain rule is `quantity = capital x risk / distance`. Ours prices in the fees, the gap of the
//! fill behind the stop and the lot; without costs and lot it is the plain rule. It rounds down only.

use robson_domain::{Fraction, Money, Overflow, Price, Quantity, Side};
use rust_decimal::Decimal;

use crate::math::{ahead, bps, div_down, mul, sub, toward_loss};

/// The most that one trade may risk, as a fraction of capital; settings may only lower it.
pub const RISK_MAX: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// What a trade costs beyond the move from entry to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// The taker fee, charged on the notional of the entry and of the exit.
    pub fee_rate: Fraction,
    /// How far behind the trigger the stop is expected to fill, as a fraction of the trigger.
    pub gap: Fraction,
}

impl Costs {
    /// The costs at a taker fee, with the default gap of 10 basis points.
    pub fn with_fee(fee_rate: Fraction) -> Self {
        Self { fee_rate, gap: bps(10) }
    }

    /// What one unit loses when a stop is hit, gap and both fees included.
    ///
    /// Negative where the stop already secures a profit.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn loss_per_unit(&self, side: Side, entry: Price, trigger: Price) -> Result<Decimal, Overflow> {
        let (entry, trigger) = (entry.get(), trigger.get());
        let adverse_fill = toward_loss(side, trigger, mul(trigger, self.gap.get())?)?;
        let move_lost = match side {
            Side::Long => sub(entry, adverse_fill)?,
            Side::Short => sub(adverse_fill, entry)?,
        };
        let turnover = entry.checked_add(adverse_fill).ok_or(Overflow)?;
        let loss = move_lost.checked_add(mul(self.fee_rate.get(), turnover)?).ok_or(Overflow)?;
        Ok(loss.normalize())
    }

    /// The latent risk of an open quantity: what it would lose at its stop, never below zero.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn latent_risk(
        &self,
        side: Side,
        entry: Price,
        stop: Price,
        quantity: Quantity,
    ) -> Result<Money, Overflow> {
        let loss = mul(quantity.get(), self.loss_per_unit(side, entry, stop)?)?;
        money(loss).map(Money::at_least_zero)
    }
}

/// How sizes are derived at a venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizingRules {
    /// What a trade costs.
    pub costs: Costs,
    /// The part of the margin that stays unused.
    pub headroom: Fraction,
    /// How far the trigger stands behind the stop, as a fraction of the stop.
    pub buffer: Fraction,
}

impl SizingRules {
    /// The rules at a taker fee: gap 10, headroom 100 and buffer 0 basis points.
    pub fn with_fee(fee_rate: Fraction) -> Self {
        Self { costs: Costs::with_fee(fee_rate), headroom: bps(100), buffer: Fraction::ZERO }
    }
}

/// The quantities that a venue takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot {
    /// Quantities are multiples of it; zero means that any quantity is one.
    pub step: Quantity,
    /// The smallest quantity of an order.
    pub min_quantity: Quantity,
    /// The smallest value of an order, in quote units.
    pub min_notional: Money,
}

/// The trade to size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// Its side.
    pub side: Side,
    /// The price of the decision.
    pub entry: Price,
    /// The technical stop, on the loss side of the entry.
    pub stop: Price,
    /// The capital that the risk is a fraction of.
    pub capital: Money,
    /// The margin that is free at the venue.
    pub available: Money,
    /// The fraction of capital at risk, at most 1 %.
    pub risk: Fraction,
}

/// A size, and how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The quantity to trade, on the lot grid.
    pub quantity: Quantity,
    /// What the risk alone would allow, cut after 12 decimals.
    pub risk_quantity: Quantity,
    /// What the margin alone would allow, cut after 8 decimals.
    pub margin_quantity: Quantity,
    /// The price at which the stop triggers: the stop, or the stop with its buffer.
    pub trigger: Price,
    /// The worst loss of one unit, in quote units.
    pub loss_per_unit: Money,
    /// The value of the quantity at the entry.
    pub notional: Money,
    /// The worst loss of the quantity.
    pub planned_risk: Money,
}

/// Why a trade has no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSized {
    /// There is no capital to risk.
    #[error("capital is {capital}, nothing can be risked")]
    NoCapital {
        /// The capital.
        capital: Money,
    },
    /// More than 1 % was asked for.
    #[error("risk of {actual} per trade is above {limit}")]
    RiskTooHigh {
        /// The most that a trade may risk.
        limit: Decimal,
        /// What was asked for.
        actual: Fraction,
    },
    /// The stop is not on the loss side of the entry, so there is no distance.
    #[error("stop {stop} is not on the loss side of a {side} at {entry}")]
    StopOnWrongSide {
        /// The side.
        side: Side,
        /// The entry.
        entry: Price,
        /// The stop.
        stop: Price,
    },
    /// The quantity is below the venue's minimum; it is never rounded up.
    #[error("quantity {quantity} is below the minimum of {minimum}")]
    BelowMinQuantity {
        /// The quantity on the lot grid.
        quantity: Quantity,
        /// The smallest that the venue takes.
        minimum: Quantity,
    },
    /// The value is below the venue's minimum; it is never rounded up.
    #[error("notional {notional} is below the minimum of {minimum}")]
    BelowMinNotional {
        /// The value of the quantity on the lot grid.
        notional: Money,
        /// The smallest that the venue takes.
        minimum: Money,
    },
    /// The finished size would risk more than allowed: a defect of this module, caught before it costs.
    #[error("planned risk {actual} is above {limit}")]
    PlannedRiskTooHigh {
        /// The most that the trade may lose.
        limit: Money,
        /// What it would lose.
        actual: Money,
    },
    /// The inputs are too large to calculate with.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl NotSized {
    /// The reason as it is stored.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoCapital { .. } => "no_capital",
            Self::RiskTooHigh { .. } => "risk_too_high",
            Self::StopOnWrongSide { .. } => "stop_on_wrong_side",
            Self::BelowMinQuantity { .. } => "below_min_quantity",
            Self::BelowMinNotional { .. } => "below_min_notional",
            Self::PlannedRiskTooHigh { .. } => "planned_risk_too_high",
            Self::Overflow(_) => "overflow",
        }
    }
}

/// Derives the size of a trade.
///
/// # Errors
/// Why there is none; the signal is then refused.
pub fn size(trade: &Trade, rules: &SizingRules, lot: &Lot) -> Result<Size, NotSized> {
    let Trade { side, entry, stop, capital, available, risk } = *trade;
    if capital <= Money::ZERO {
        return Err(NotSized::NoCapital { capital });
    }
    if risk.get() > RISK_MAX {
        return Err(NotSized::RiskTooHigh { limit: RISK_MAX, actual: risk });
    }
    if !ahead(side, entry, stop) {
        return Err(NotSized::StopOnWrongSide { side, entry, stop });
    }
    let trigger = trigger(side, entry, stop, rules.buffer)?;
    let per_unit = rules.costs.loss_per_unit(side, entry, trigger)?;
    let risk_limit = capital.part(risk)?;
    let usable = sub(Decimal::ONE, rules.headroom.get())?;
    let margin = mul(capital.min(available).at_least_zero().get(), usable)?;

    let risk_quantity = quantity(div_down(risk_limit.get(), per_unit, 12)?)?;
    let margin_quantity = quantity(div_down(margin, entry.get(), 8)?)?;
    let quantity = risk_quantity.min(margin_quantity).floor_to(lot.step);
    if quantity.is_zero() || quantity < lot.min_quantity {
        return Err(NotSized::BelowMinQuantity { quantity, minimum: lot.min_quantity.max(lot.step) });
    }
    let notional = quantity.at(entry)?;
    if notional < lot.min_notional {
        return Err(NotSized::BelowMinNotional { notional, minimum: lot.min_notional });
    }
    let planned_risk = money(mul(quantity.get(), per_unit)?)?;
    if planned_risk > risk_limit {
        return Err(NotSized::PlannedRiskTooHigh { limit: risk_limit, actual: planned_risk });
    }
    let loss_per_unit = money(per_unit)?;
    Ok(Size { quantity, risk_quantity, margin_quantity, trigger, loss_per_unit, notional, planned_risk })
}

/// The stop moved away from the entry by its buffer, at most by a quarter of the distance.
fn trigger(side: Side, entry: Price, stop: Price, buffer: Fraction) -> Result<Price, Overflow> {
    let quarter = mul(entry.distance(stop)?, Decimal::new(25, 2))?;
    let buffer = mul(stop.get(), buffer.get())?.min(quarter);
    Price::new(toward_loss(side, stop.get(), buffer)?).map_err(|_| Overflow)
}

fn quantity(value: Decimal) -> Result<Quantity, Overflow> {
    Quantity::new(value).map_err(|_| Overflow)
}

fn money(value: Decimal) -> Result<Money, Overflow> {
    Money::new(value).map_err(|_| Overflow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::math::testing::v;

    const ANY_LOT: Lot =
        Lot { step: Quantity::ZERO, min_quantity: Quantity::ZERO, min_notional: Money::ZERO };

    fn plain() -> SizingRules {
        let none = Fraction::ZERO;
        SizingRules { costs: Costs { fee_rate: none, gap: none }, headroom: none, buffer: none }
    }

    fn costs() -> SizingRules {
        SizingRules::with_fee(v("0.0005"))
    }

    fn lot(step: &str) -> Lot {
        Lot { step: v(step), ..ANY_LOT }
    }

    fn trade(side: Side, capital: &str, entry: &str, stop: &str) -> Trade {
        let (entry, stop, capital) = (v(entry), v(stop), v(capital));
        Trade { side, entry, stop, capital, available: capital, risk: v("0.01") }
    }

    fn check(
        side: Side,
        entry: &str,
        stop: &str,
        [per_unit, risk, margin, quantity, notional, planned]: [&str; 6],
    ) {
        let size = size(&trade(side, "10000", entry, stop), &costs(), &lot("0.001")).unwrap();
        let expected = Size {
            quantity: v(quantity),
            risk_quantity: v(risk),
            margin_quantity: v(margin),
            trigger: v(stop),
            loss_per_unit: v(per_unit),
            notional: v(notional),
            planned_risk: v(planned),
        };
        assert_eq!(size, expected);
    }

    #[test]
    fn without_costs_it_is_the_plain_rule() {
        for (entry, stop, quantity, notional) in
            [("95000", "93500", "0.066666666666", "6333.33"), ("90000", "87000", "0.033333333333", "3000")]
        {
            let size = size(&trade(Side::Long, "10000", entry, stop), &plain(), &ANY_LOT).unwrap();
            assert_eq!(size.quantity, v(quantity));
            assert_eq!(size.notional.to_cents(), v::<Decimal>(notional));
            assert_eq!(size.planned_risk.to_cents(), v::<Decimal>("100"));
        }
    }

    #[test]
    fn costs_and_lot_are_priced_in() {
        check(
            Side::Long,
            "95000",
            "93500",
            ["1687.70325", "0.059252122670", "0.10421052", "0.059", "5605", "99.57449175"],
        );
        check(
            Side::Short,
            "95000",
            "96500",
            ["1692.29825", "0.059091238793", "0.10421052", "0.059", "5605", "99.84559675"],
        );
    }

    #[test]
    fn margin_binds_where_the_stop_is_near() {
        check(
            Side::Long,
            "95000",
            "94810",
            ["379.667595", "0.263388293646", "0.10421052", "0.104", "9880", "39.48542988"],
        );
    }

    #[test]
    fn too_small_is_refused_and_never_rounded_up() {
        let small = trade(Side::Long, "100", "95000", "93500");
        assert_eq!(size(&small, &costs(), &ANY_LOT).unwrap().risk_quantity, v("0.000592521226"));
        assert_eq!(
            size(&small, &costs(), &lot("0.001")),
            Err(NotSized::BelowMinQuantity { quantity: Quantity::ZERO, minimum: v("0.001") })
        );
        let normal = trade(Side::Long, "10000", "95000", "93500");
        let min_quantity = Lot { min_quantity: v("0.06"), ..lot("0.001") };
        assert_eq!(
            size(&normal, &costs(), &min_quantity),
            Err(NotSized::BelowMinQuantity { quantity: v("0.059"), minimum: v("0.06") })
        );
        let min_notional = Lot { min_notional: v("5605.01"), ..lot("0.001") };
        assert_eq!(
            size(&normal, &costs(), &min_notional),
            Err(NotSized::BelowMinNotional { notional: v("5605"), minimum: v("5605.01") })
        );
    }

    #[test]
    fn what_cannot_be_sized_is_refused() {
        let good = trade(Side::Long, "10000", "95000", "93500");
        let code = |trade: Trade| size(&trade, &costs(), &ANY_LOT).unwrap_err().code();
        assert_eq!(code(Trade { capital: Money::ZERO, ..good }), "no_capital");
        assert_eq!(code(Trade { risk: v("0.0101"), ..good }), "risk_too_high");
        assert_eq!(code(Trade { side: Side::Short, ..good }), "stop_on_wrong_side");
        assert_eq!(code(Trade { stop: good.entry, ..good }), "stop_on_wrong_side");
        assert_eq!(code(Trade { available: v("-5"), ..good }), "below_min_quantity");
        let huge = v("79200000000000000000000000000");
        assert_eq!(code(Trade { side: Side::Short, stop: huge, ..good }), "overflow");
    }

    #[test]
    fn a_buffer_moves_the_trigger_by_at_most_a_quarter_of_the_distance() {
        let rules = SizingRules { buffer: bps(10), ..plain() };
        let trigger =
            |side, stop| size(&trade(side, "10000", "95000", stop), &rules, &ANY_LOT).unwrap().trigger;
        assert_eq!(trigger(Side::Long, "93500"), v("93406.5"));
        assert_eq!(trigger(Side::Short, "96500"), v("96596.5"));
        assert_eq!(trigger(Side::Long, "94800"), v("94750"));
    }

    #[test]
    fn a_stop_in_profit_has_no_latent_risk() {
        let costs = costs().costs;
        let latent = |stop| costs.latent_risk(Side::Long, v("95000"), v(stop), v("0.059")).unwrap();
        assert_eq!(latent("93500"), v("99.57449175"));
        assert_eq!(latent("97000"), Money::ZERO);
    }

    prop_compose! {
        /// Any trade with a stop 0.1 to 10 % away, in cents.
        fn any_trade()(
            long in any::<bool>(),
            entry in 1_000_i64..50_000_000,
            distance_bps in 10_i64..=1_000,
            capital in 1_i64..1_000_000_000,
            available in 1_i64..1_000_000_000,
            risk in 1_i64..=100,
        ) -> Trade {
            let (side, sign) = if long { (Side::Long, -1) } else { (Side::Short, 1) };
            Trade {
                side,
                entry: Price::new(Decimal::new(entry, 2)).unwrap(),
                stop: Price::new(Decimal::new(entry * (10_000 + sign * distance_bps), 6)).unwrap(),
                capital: Money::new(Decimal::new(capital, 2)).unwrap(),
                available: Money::new(Decimal::new(available, 2)).unwrap(),
                risk: Fraction::new(Decimal::new(risk, 4)).unwrap(),
            }
        }
    }

    fn quantity_of(trade: &Trade, rules: &SizingRules, lot: &Lot) -> Quantity {
        match size(trade, rules, lot) {
            Ok(size) => size.quantity,
            Err(NotSized::BelowMinQuantity { .. }) => Quantity::ZERO,
            Err(other) => panic!("{other}"),
        }
    }

    proptest! {
        #[test]
        fn planned_risk_and_margin_stay_within_their_limits(trade in any_trade(), step in 0_i64..1_000) {
            let lot = Lot { step: Quantity::new(Decimal::new(step, 5)).unwrap(), ..ANY_LOT };
            match size(&trade, &costs(), &lot) {
                Ok(size) => {
                    prop_assert!(size.planned_risk <= trade.capital.part(trade.risk).unwrap());
                    prop_assert!(size.notional <= trade.capital.min(trade.available));
                }
                Err(refusal) => prop_assert_eq!(refusal.code(), "below_min_quantity"),
            }
        }

        #[test]
        fn more_capital_never_means_less(trade in any_trade(), more in 0_i64..1_000_000) {
            let more = Money::new(Decimal::new(more, 2)).unwrap();
            let richer = Trade {
                capital: trade.capital.plus(more).unwrap(),
                available: trade.available.plus(more).unwrap(),
                ..trade
            };
            let lot = lot("0.001");
            prop_assert!(quantity_of(&richer, &costs(), &lot) >= quantity_of(&trade, &costs(), &lot));
        }

        #[test]
        fn a_wider_stop_never_means_more(trade in any_trade(), wider in 0_i64..100) {
            let stop = toward_loss(trade.side, trade.stop.get(), Decimal::new(wider, 2)).unwrap();
            prop_assume!(stop > Decimal::ZERO);
            let wide = Trade { stop: Price::new(stop).unwrap(), ..trade };
            prop_assert!(quantity_of(&wide, &costs(), &ANY_LOT) <= quantity_of(&trade, &costs(), &ANY_LOT));
        }

        #[test]
        fn the_sides_mirror(trade in any_trade()) {
            let stop = Price::new(trade.entry.get() * Decimal::TWO - trade.stop.get()).unwrap();
            let mirror = Trade { side: trade.side.opposite(), stop, ..trade };
            let (long, short) =
                if trade.side == Side::Long { (trade, mirror) } else { (mirror, trade) };
            prop_assert_eq!(quantity_of(&long, &plain(), &ANY_LOT), quantity_of(&short, &plain(), &ANY_LOT));
            // A short's stop lies higher, so its gap and its fee cost more.
            prop_assert!(quantity_of(&short, &costs(), &ANY_LOT) <= quantity_of(&long, &costs(), &ANY_LOT));
        }
    }
}
