//! Risk gate: whether a sized trade may be entered now, and whether trading must halt.
//!
//! Unrealized profit never counts, since it could hide a realized loss; reservations deny but never
//! halt, else four full entries would close themselves.

use robson_domain::{DenialSeverity, Fraction, Money, Overflow, RiskCheck};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::math::div;
use crate::sizing::RISK_MAX;

/// The part of the base that a month may lose.
const MONTH_MAX: Decimal = Decimal::from_parts(4, 0, 0, false, 2);
/// Slots that are shown at most.
const SLOTS_MAX: u32 = 4;
/// How long a decision may take.
const TIMEOUT_MS: u64 = 200;

/// The risk of an account in a UTC month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthRisk {
    /// The capital base, which does not grow within the month.
    pub base: Money,
    /// Realized profit less fees and funding, since the month began.
    pub realized_net: Money,
    /// What open and entering positions would lose at their stops.
    pub latent: Money,
}

impl MonthRisk {
    /// What the month may lose: 4 % of the base.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn budget(&self) -> Result<Money, Overflow> {
        part(self.base.at_least_zero(), MONTH_MAX)
    }

    /// What a single trade may lose: 1 % of the base.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn trade_limit(&self) -> Result<Money, Overflow> {
        part(self.base.at_least_zero(), RISK_MAX)
    }

    /// What the month has lost already; profit does not count.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn consumed(&self) -> Result<Money, Overflow> {
        Ok(Money::ZERO.minus(self.realized_net)?.at_least_zero())
    }

    /// What is neither lost nor reserved; negative when more is reserved than there was.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn remaining(&self) -> Result<Money, Overflow> {
        self.budget()?.minus(self.consumed()?)?.minus(self.latent)
    }

    /// Whether trading must halt until the next UTC month.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn must_halt(&self) -> Result<bool, Overflow> {
        let consumed = self.consumed()?;
        Ok(consumed >= self.budget()? || (consumed > Money::ZERO && self.remaining()? < Money::ZERO))
    }

    /// How many full trades would still fit, at most 4: shown, never a cap.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn slots(&self) -> Result<u32, Overflow> {
        let limit = self.trade_limit()?;
        if limit == Money::ZERO {
            return Ok(0);
        }
        let fitting = div(self.remaining()?.at_least_zero().get(), limit.get())?.floor();
        Ok(fitting.min(Decimal::from(SLOTS_MAX)).to_u32().unwrap_or(0))
    }
}

/// Everything that the gate judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskRequest {
    /// Whether a halt is latched.
    pub halted: bool,
    /// Whether entries were stopped, by the operator or by degraded mode.
    pub entries_stopped: bool,
    /// Differences between the account and the venue that are not explained.
    pub open_discrepancies: u32,
    /// The age of the last price.
    pub market_data_age_ms: u64,
    /// The age from which a price is stale.
    pub market_data_age_ms_max: u64,
    /// Other live positions of this account, symbol and side.
    pub live_twins: u32,
    /// Positions of the opposite side that are entering, active or exiting: a one-way venue would net them.
    pub live_opposites: u32,
    /// The margin that is free at the venue.
    pub margin_available: Money,
    /// The margin that the trade needs.
    pub margin_needed: Money,
    /// The month's risk, before the trade.
    pub month: MonthRisk,
    /// What the trade would lose at its stop; an unpriced trade is charged the full 1 %.
    pub planned_risk: Option<Money>,
    /// The notional of what is held, before the trade.
    pub exposure: Money,
    /// The notional of the trade.
    pub notional: Money,
    /// The most notional that the strategy may hold, if it sets a limit.
    pub max_exposure: Option<Money>,
    /// The notional that the strategy holds, before the trade.
    pub strategy_exposure: Money,
    /// The net result of the strategy's UTC day.
    pub daily_net: Money,
    /// The daily loss that the strategy bears, if it sets one.
    pub daily_loss_limit: Option<Money>,
    /// How long the decision has taken.
    pub elapsed_ms: u64,
}

/// A check that did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedCheck {
    /// Which.
    pub check: RiskCheck,
    /// What was allowed; 0 for a condition that must not hold.
    pub limit: Decimal,
    /// What was found; 1 for a condition that holds.
    pub actual: Decimal,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The trade may be entered; its risk is to be reserved in the same batch.
    Admitted(Admission),
    /// It may not.
    Denied {
        /// The checks that did not pass, in order; at least one.
        failed: Vec<FailedCheck>,
        /// What it entails.
        severity: DenialSeverity,
    },
}

/// What a trade changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The checks that passed, in order.
    pub checks: Vec<RiskCheck>,
    /// What the trade is charged.
    pub planned_risk: Money,
    /// The exposure before it.
    pub exposure_before: Money,
    /// The exposure with it.
    pub exposure_after: Money,
    /// The latent risk before it.
    pub latent_before: Money,
    /// The latent risk with it.
    pub latent_after: Money,
    /// What is left of the month's budget with it.
    pub remaining_after: Money,
}

impl RiskRequest {
    /// Judges the trade: every check runs, in order, so that a denial names all that is wrong.
    ///
    /// # Errors
    /// `Overflow`; the trade must then not be entered.
    pub fn judge(&self) -> Result<Verdict, Overflow> {
        let month = &self.month;
        let planned_risk = self.planned_risk.map_or_else(|| month.trade_limit(), Ok)?;
        let exposure_after = self.exposure.plus(self.notional)?;
        let checks = self.checks(planned_risk)?;
        let failed: Vec<FailedCheck> =
            checks.iter().filter(|(failed, _)| *failed).map(|(_, check)| *check).collect();
        if !failed.is_empty() {
            let severity = if month.must_halt()? { DenialSeverity::Halt } else { DenialSeverity::Deny };
            return Ok(Verdict::Denied { failed, severity });
        }
        Ok(Verdict::Admitted(Admission {
            checks: checks.iter().map(|(_, check)| check.check).collect(),
            planned_risk,
            exposure_before: self.exposure,
            exposure_after,
            latent_before: month.latent,
            latent_after: month.latent.plus(planned_risk)?,
            remaining_after: month.remaining()?.minus(planned_risk)?,
        }))
    }

    /// Each check that applies: whether it failed, its limit and what was found.
    fn checks(&self, planned_risk: Money) -> Result<Vec<(bool, FailedCheck)>, Overflow> {
        let row =
            |check, failed, limit: Decimal, actual: Decimal| (failed, FailedCheck { check, limit, actual });
        let flag = |check, holds: bool| row(check, holds, Decimal::ZERO, Decimal::from(u8::from(holds)));
        let count = |check, found: u32| row(check, found > 0, Decimal::ZERO, found.into());
        let age = |check, limit: u64, actual: u64| row(check, actual > limit, limit.into(), actual.into());
        let most = |check, limit: Money, actual: Money| row(check, actual > limit, limit.get(), actual.get());

        let month = &self.month;
        let lost = self.month_lost()?;
        let fits = month.trade_limit()?.min(month.remaining()?);
        let risk_fails = planned_risk <= Money::ZERO || planned_risk > fits;
        let day_lost = Money::ZERO.minus(self.daily_net)?.at_least_zero();

        let mut checks = vec![
            flag(RiskCheck::TradingHalted, self.halted),
            flag(RiskCheck::EntriesStopped, self.entries_stopped),
            count(RiskCheck::AccountUnreconciled, self.open_discrepancies),
            age(RiskCheck::MarketDataStale, self.market_data_age_ms_max, self.market_data_age_ms),
            count(RiskCheck::DuplicatePosition, self.live_twins.saturating_add(self.live_opposites)),
            most(RiskCheck::InsufficientMargin, self.margin_available, self.margin_needed),
            row(RiskCheck::MonthlyDrawdown, month.must_halt()?, month.budget()?.get(), lost.get()),
            row(RiskCheck::RiskBudgetInsufficient, risk_fails, fits.get(), planned_risk.get()),
        ];
        let strategy_after = self.strategy_exposure.plus(self.notional)?;
        checks.extend(self.max_exposure.map(|limit| most(RiskCheck::MaxExposure, limit, strategy_after)));
        checks.extend(
            self.daily_loss_limit
                .map(|limit| row(RiskCheck::DailyLoss, day_lost >= limit, limit.get(), day_lost.get())),
        );
        checks.push(age(RiskCheck::RiskEngineTimeout, TIMEOUT_MS, self.elapsed_ms));
        Ok(checks)
    }

    /// What the drawdown is measured by: the loss, and once there is one, what is reserved on top of it.
    fn month_lost(&self) -> Result<Money, Overflow> {
        let consumed = self.month.consumed()?;
        if consumed == Money::ZERO { Ok(consumed) } else { consumed.plus(self.month.latent) }
    }
}

fn part(base: Money, rate: Decimal) -> Result<Money, Overflow> {
    Fraction::new(rate).map_err(|_| Overflow).and_then(|rate| base.part(rate))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::math::testing::v;

    fn month(base: &str, realized_net: &str, latent: &str) -> MonthRisk {
        MonthRisk { base: v(base), realized_net: v(realized_net), latent: v(latent) }
    }

    fn request() -> RiskRequest {
        RiskRequest {
            halted: false,
            entries_stopped: false,
            open_discrepancies: 0,
            market_data_age_ms: 0,
            market_data_age_ms_max: 5_000,
            live_twins: 0,
            live_opposites: 0,
            margin_available: v("10000"),
            margin_needed: v("5605"),
            month: month("10000", "-150", "80"),
            planned_risk: Some(v("99.57449175")),
            exposure: v("2000"),
            notional: v("5605"),
            max_exposure: None,
            strategy_exposure: v("1000"),
            daily_net: v("-150"),
            daily_loss_limit: None,
            elapsed_ms: 0,
        }
    }

    /// `check limit actual` for each failed check, then the severity; or `admitted`.
    fn tell(request: &RiskRequest) -> String {
        match request.judge().unwrap() {
            Verdict::Admitted(_) => "admitted".to_owned(),
            Verdict::Denied { failed, severity } => {
                let told = |f: &FailedCheck| format!("{} {} {}; ", f.check.as_str(), f.limit, f.actual);
                failed.iter().map(told).collect::<String>() + severity.as_str()
            }
        }
    }

    #[test]
    fn each_check_fires() {
        let good = request();
        let with_month = |month| RiskRequest { month, ..good };
        for (request, expected) in [
            (good, "admitted"),
            (RiskRequest { halted: true, ..good }, "trading_halted 0 1; deny"),
            (RiskRequest { entries_stopped: true, ..good }, "entries_stopped 0 1; deny"),
            (RiskRequest { open_discrepancies: 2, ..good }, "account_unreconciled 0 2; deny"),
            (RiskRequest { market_data_age_ms: 5_000, ..good }, "admitted"),
            (RiskRequest { market_data_age_ms: 5_001, ..good }, "market_data_stale 5000 5001; deny"),
            (RiskRequest { live_twins: 1, ..good }, "duplicate_position 0 1; deny"),
            (RiskRequest { live_opposites: 1, ..good }, "duplicate_position 0 1; deny"),
            (
                RiskRequest { margin_available: v("5604.99"), ..good },
                "insufficient_margin 5604.99 5605; deny",
            ),
            (
                with_month(month("10000", "-400", "0")),
                "monthly_drawdown 400 400; risk_budget_insufficient 0 99.57449175; halt",
            ),
            (
                with_month(month("10000", "-1", "399.5")),
                "monthly_drawdown 400 400.5; risk_budget_insufficient -0.5 99.57449175; halt",
            ),
            (with_month(month("10000", "0", "301")), "risk_budget_insufficient 99 99.57449175; deny"),
            (
                RiskRequest { planned_risk: Some(v("100.01")), ..good },
                "risk_budget_insufficient 100 100.01; deny",
            ),
            (RiskRequest { planned_risk: Some(v("0")), ..good }, "risk_budget_insufficient 100 0; deny"),
            (RiskRequest { max_exposure: Some(v("6605")), ..good }, "admitted"),
            (RiskRequest { max_exposure: Some(v("6604")), ..good }, "max_exposure 6604 6605; deny"),
            (RiskRequest { daily_loss_limit: Some(v("150.01")), ..good }, "admitted"),
            (RiskRequest { daily_loss_limit: Some(v("150")), ..good }, "daily_loss 150 150; deny"),
            (RiskRequest { elapsed_ms: 200, ..good }, "admitted"),
            (RiskRequest { elapsed_ms: 201, ..good }, "risk_engine_timeout 200 201; deny"),
        ] {
            assert_eq!(tell(&request), expected);
        }
    }

    #[test]
    fn a_denial_names_all_that_is_wrong_in_order() {
        let bad = RiskRequest { halted: true, live_twins: 1, elapsed_ms: 500, ..request() };
        assert_eq!(
            tell(&bad),
            "trading_halted 0 1; duplicate_position 0 1; risk_engine_timeout 200 500; deny"
        );
    }

    #[test]
    fn the_budget_is_spent_once() {
        let first = request();
        assert_eq!(first.month.budget(), Ok(v("400")));
        assert_eq!(first.month.remaining(), Ok(v("170")));
        let Verdict::Admitted(admission) = first.judge().unwrap() else { panic!("it fits") };
        assert_eq!(admission.remaining_after, v("70.42550825"));
        assert_eq!(admission.latent_after, v("179.57449175"));
        assert_eq!((admission.exposure_before, admission.exposure_after), (v("2000"), v("7605")));
        let checks: Vec<_> = admission.checks.iter().map(|check| check.as_str()).collect();
        assert_eq!(checks.first(), Some(&"trading_halted"));
        assert_eq!(checks.len(), 9);

        let month = MonthRisk { latent: admission.latent_after, ..first.month };
        assert_eq!(
            tell(&RiskRequest { month, ..first }),
            "risk_budget_insufficient 70.42550825 99.57449175; deny"
        );
        assert_eq!(month.must_halt(), Ok(false));
    }

    #[test]
    fn an_unpriced_trade_is_charged_the_full_percent() {
        let Verdict::Admitted(admission) = RiskRequest { planned_risk: None, ..request() }.judge().unwrap()
        else {
            panic!("it fits")
        };
        assert_eq!(admission.planned_risk, v("100"));
    }

    #[test]
    fn without_a_base_trading_halts() {
        for base in ["0", "-5"] {
            let request = RiskRequest { month: month(base, "0", "0"), ..request() };
            assert_eq!(
                tell(&request),
                "monthly_drawdown 0 0; risk_budget_insufficient 0 99.57449175; halt",
                "base {base}"
            );
        }
    }

    #[test]
    fn profit_never_widens_the_budget() {
        assert_eq!(month("10000", "5000", "0").remaining(), Ok(v("400")));
    }

    #[test]
    fn slots_are_full_trades_that_fit() {
        for (realized, latent, slots) in [
            ("0", "0", 4),
            ("900", "0", 4),
            ("0", "0.01", 3),
            ("-150", "80", 1),
            ("-150", "151", 0),
            ("0", "500", 0),
        ] {
            assert_eq!(month("10000", realized, latent).slots(), Ok(slots), "{realized} {latent}");
        }
        assert_eq!(month("0", "0", "0").slots(), Ok(0));
    }

    fn cents(value: i64) -> Money {
        Money::new(Decimal::new(value, 2)).unwrap()
    }

    proptest! {
        #[test]
        fn reservations_alone_never_halt(base in 1_i64..1_000_000_000, net in 0_i64..1_000_000, latent in 0_i64..1_000_000_000) {
            let month = MonthRisk { base: cents(base), realized_net: cents(net), latent: cents(latent) };
            prop_assert_eq!(month.must_halt(), Ok(false));
        }

        #[test]
        fn what_is_admitted_leaves_the_budget_whole(
            base in 1_i64..10_000_000,
            net in -1_000_000_i64..1_000_000,
            latent in 0_i64..1_000_000,
            planned in 0_i64..1_000_000,
        ) {
            let month = MonthRisk { base: cents(base), realized_net: cents(net), latent: cents(latent) };
            let request = RiskRequest { month, planned_risk: Some(cents(planned)), ..request() };
            if let Verdict::Admitted(admission) = request.judge().unwrap() {
                prop_assert!(admission.remaining_after >= Money::ZERO);
                let after = MonthRisk { latent: admission.latent_after, ..month };
                prop_assert_eq!(after.must_halt(), Ok(false));
            }
        }
    }
}
