//! The risk state: the month's budget and what has been taken from it.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

use super::{EntityKey, Meta};
use crate::arithmetic::quotient;
use crate::events::EventContext;
use crate::{AccountId, Amount, Fraction, InvalidAmount, Money, Month, Overflow, StrategyId, Timestamp};

/// What a risk state covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RiskScope {
    /// The whole account.
    Account,
    /// One strategy in it.
    Strategy(StrategyId),
}

impl fmt::Display for RiskScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("account"),
            Self::Strategy(id) => id.fmt(f),
        }
    }
}

impl FromStr for RiskScope {
    type Err = <StrategyId as FromStr>::Err;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "account" { Ok(Self::Account) } else { text.parse().map(Self::Strategy) }
    }
}

/// Which risk state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RiskKey {
    /// The account.
    pub account_id: AccountId,
    /// All of it, or one strategy.
    pub scope: RiskScope,
}

impl RiskKey {
    /// The risk state of a whole account.
    pub const fn account(account_id: AccountId) -> Self {
        Self { account_id, scope: RiskScope::Account }
    }

    /// The risk state of one strategy in an account.
    pub const fn strategy(account_id: AccountId, strategy_id: StrategyId) -> Self {
        Self { account_id, scope: RiskScope::Strategy(strategy_id) }
    }
}

impl From<RiskKey> for EntityKey {
    fn from(key: RiskKey) -> Self {
        Self::RiskState(key)
    }
}

/// A risk state, as `risk_state_current` mirrors it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskState {
    /// Account and scope.
    pub key: RiskKey,
    /// The UTC month that the sums are of.
    pub period: Month,
    /// The risk base of the month; never grows within it.
    pub capital_base: Money,
    /// What the month's fills realized, less their fees.
    pub realized_net: Money,
    /// What live positions may still lose.
    pub latent_risk: Money,
    /// What open positions cost.
    pub total_exposure: Money,
    /// The strategy's limit on it.
    pub max_exposure: Option<Money>,
    /// What the fills of the UTC day of `calculated_at` realized, less their fees.
    pub daily_pnl: Money,
    /// The strategy's limit on its loss.
    pub daily_loss_limit: Option<Money>,
    /// What was consumed of the base, as a fraction of it; 12 decimals.
    pub drawdown: Amount,
    /// The largest permitted drawdown.
    pub max_drawdown: Fraction,
    /// Whether the last check failed.
    pub is_violated: bool,
    /// Why.
    pub violation_reason: Option<String>,
    /// Since when.
    pub violated_at: Option<Timestamp>,
    /// Whether the month was halted.
    pub halted: bool,
    /// Whether entries were stopped.
    pub entries_stopped: bool,
    /// How many discrepancies with the venue are open.
    pub open_discrepancies: i64,
    /// The latest event time that went into the sums.
    pub calculated_at: Timestamp,
    /// Where the row stands in the log.
    pub meta: Meta,
}

impl RiskState {
    /// The part of the base that a month may lose.
    fn monthly_limit() -> Fraction {
        Fraction::new(Decimal::new(4, 2)).expect("0.04 is between 0 and 1")
    }

    /// A month in which nothing has happened yet.
    pub(crate) fn opened(key: RiskKey, period: Month, capital_base: Money, ctx: &EventContext) -> Self {
        Self {
            key,
            period,
            capital_base,
            realized_net: Money::ZERO,
            latent_risk: Money::ZERO,
            total_exposure: Money::ZERO,
            max_exposure: None,
            daily_pnl: Money::ZERO,
            daily_loss_limit: None,
            drawdown: Amount::ZERO,
            max_drawdown: Self::monthly_limit(),
            is_violated: false,
            violation_reason: None,
            violated_at: None,
            halted: false,
            entries_stopped: false,
            open_discrepancies: 0,
            calculated_at: ctx.occurred_at,
            meta: ctx.meta(),
        }
    }

    /// What the month has lost so far; profit does not count.
    fn consumed(&self) -> Result<Money, Overflow> {
        Ok(Money::ZERO.minus(self.realized_net)?.at_least_zero())
    }

    /// Moves what positions reserve.
    pub(crate) fn reserve(&mut self, latent: Money, exposure: Money, at: Timestamp) -> Result<(), Overflow> {
        self.latent_risk = self.latent_risk.plus(latent)?;
        self.total_exposure = self.total_exposure.plus(exposure)?;
        self.reach(at);
        Ok(())
    }

    /// Books what a fill realized, less its fee, in the month and on the day that it belongs to.
    pub(crate) fn book(&mut self, net: Money, filled_at: Timestamp) -> Result<(), Overflow> {
        self.reach(filled_at);
        if filled_at.month() == self.period {
            self.realized_net = self.realized_net.plus(net)?;
        }
        if filled_at.day() == self.calculated_at.day() {
            self.daily_pnl = self.daily_pnl.plus(net)?;
        }
        self.measure()
    }

    /// Takes what left the account off the month's base; an outflow of another month is in its base already.
    pub(crate) fn lower_base(&mut self, outflow: Money, at: Timestamp) -> Result<(), Overflow> {
        self.reach(at);
        if at.month() == self.period {
            self.capital_base = self.capital_base.minus(outflow)?.at_least_zero();
        }
        self.measure()
    }

    /// Follows the account into its month.
    pub(crate) fn follow(
        &mut self,
        period: Month,
        capital_base: Money,
        at: Timestamp,
    ) -> Result<(), Overflow> {
        if period > self.period {
            self.open_month(period, capital_base, at)?;
        }
        self.capital_base = capital_base;
        Ok(())
    }

    /// Opens a month: its sums start at nothing, what is held stays reserved.
    pub(crate) fn open_month(
        &mut self,
        period: Month,
        capital_base: Money,
        at: Timestamp,
    ) -> Result<(), Overflow> {
        self.period = period;
        self.capital_base = capital_base;
        self.realized_net = Money::ZERO;
        self.halted = false;
        self.entries_stopped = false;
        self.clear_violation();
        self.reach(at);
        self.measure()
    }

    pub(crate) fn violate(&mut self, reason: String, at: Timestamp) {
        self.is_violated = true;
        self.violation_reason = Some(reason);
        self.violated_at = Some(at);
        self.reach(at);
    }

    pub(crate) fn clear_violation(&mut self) {
        self.is_violated = false;
        self.violation_reason = None;
        self.violated_at = None;
    }

    /// Moves on in time; a new day starts at nothing, and late news never reopen an old one.
    fn reach(&mut self, at: Timestamp) {
        if at.day() > self.calculated_at.day() {
            self.daily_pnl = Money::ZERO;
        }
        self.calculated_at = self.calculated_at.max(at);
    }

    fn measure(&mut self) -> Result<(), Overflow> {
        let consumed = self.consumed()?.get();
        let drawdown = match self.capital_base.get() {
            base if base > Decimal::ZERO => quotient(consumed, base)?,
            _ if consumed.is_zero() => Decimal::ZERO,
            _ => Decimal::ONE,
        };
        self.drawdown = Amount::new(drawdown).map_err(|_: InvalidAmount| Overflow)?;
        Ok(())
    }

    pub(super) fn stamp(&mut self, ctx: &EventContext) {
        self.meta.stamp(ctx);
    }
}
