//! The month's budget: opened with each UTC month of the feed, halted when it is spent or the operator says so.
//!
//! A halt has no reset: the next month, decided from what is stored, opens without it.

use robson_domain::events::{OperatorAlertRaised, RiskLimitExceeded};
use robson_domain::{
    AlertSeverity, Amount, ExitReason, LimitAction, LimitKind, Money, PositionState, RiskState,
};
use robson_eventlog::Store;
use robson_venue::exchange::Exchange;

use super::commands::{Answer, Asked, Carried, Refusal};
use super::{Desk, Draft, Trader, TraderError};
use crate::operator::{AccountStanding, Done, Refused, Words};

const NO_MONTH: &str = "no price has been seen yet, so the month is not open";

impl<S: Store, X: Exchange> Trader<S, X> {
    /// Opens the month that the feed's clock has reached, unless the log says that it is open.
    pub(super) async fn open_month(&mut self) -> Result<(), TraderError> {
        let period = self.now.month();
        if self.desk.risk().is_some_and(|risk| risk.period >= period) {
            return Ok(());
        }
        let capital_base = self.capital_base().await?;
        let id = self.desk.derive(self.now, "month", &[&period.to_string()]);
        let mut draft = self.desk.draft(id, self.now);
        let opened = RiskLimitExceeded {
            account_id: self.desk.account_id(),
            limit: LimitKind::Operator,
            limit_value: Amount::ZERO,
            actual_value: Amount::ZERO,
            period,
            action: LimitAction::Cleared,
            capital_base,
            reason: Some(format!("month {period} begins")),
        };
        self.desk.add(&mut draft, opened, self.now).await?;
        self.desk.commit(draft).await?;
        // A month without capital is over as it begins.
        self.halt_if_spent().await
    }

    /// The wallet less what open positions and armed ones may still lose.
    async fn capital_base(&self) -> Result<Money, TraderError> {
        let quote = self.markets.values().next().map(|market| market.instrument.quote.clone());
        let balances = self.exchange.balances().await?;
        let wallet = balances.iter().find(|balance| Some(&balance.asset) == quote.as_ref());
        let wallet = wallet.and_then(|balance| Money::new(balance.total.get()).ok()).unwrap_or(Money::ZERO);
        let Some(risk) = self.desk.risk() else { return Ok(wallet.at_least_zero()) };
        let mut carried = risk.latent_risk;
        let per_armed = self.month_risk()?.trade_limit()?;
        for armed in self.desk.positions().filter(|position| position.state == PositionState::Armed) {
            // One that waits for the operator has reserved its risk already.
            carried = carried.plus(per_armed)?.minus(armed.latent_risk)?;
        }
        Ok(wallet.minus(carried)?.at_least_zero())
    }

    /// Halts the month when its budget is spent: everything is closed, nothing is opened until the next. That it
    /// halts and what it closes is one decision, so a crash cannot part them.
    pub(super) async fn halt_if_spent(&mut self) -> Result<(), TraderError> {
        let Some(risk) = self.desk.risk().cloned() else { return Ok(()) };
        let month = self.month_risk()?;
        if risk.halted || !month.must_halt()? {
            return Ok(());
        }
        let reason = format!("{} of the month's {} are lost", month.consumed()?, month.budget()?);
        let id = self.desk.derive(self.now, "halt", &[&risk.period.to_string()]);
        let mut draft = self.desk.draft(id, self.now);
        self.add_halt(&mut draft, &risk, LimitKind::MonthlyDrawdown, reason).await?;
        let closing = self.decide_to_close_all(&mut draft, ExitReason::MonthlyHalt).await?;
        self.desk.commit(draft).await?;
        self.see_closed(&closing).await
    }

    /// Halts the month because the operator says so; a halted one stays as it is.
    pub(super) async fn halt_by_hand(&mut self, asked: Asked<'_>, reason: &Words) -> Carried {
        let Some(risk) = self.desk.risk().cloned() else {
            return Ok(Err(Refusal::Alone(Refused::NotReady(NO_MONTH.to_owned()))));
        };
        let mut draft = self.desk.draft_of_command(asked.id, asked.actor);
        if !risk.halted {
            self.add_halt(&mut draft, &risk, LimitKind::Operator, reason.to_string()).await?;
        }
        let account = AccountStanding { halted: true, ..standing(&risk) };
        let done = Done { account: Some(account), ..Done::default() };
        self.close_all_as_asked(asked, draft, ExitReason::MonthlyHalt, done).await
    }

    async fn add_halt(
        &mut self,
        draft: &mut Draft,
        risk: &RiskState,
        limit: LimitKind,
        reason: String,
    ) -> Result<(), TraderError> {
        let month = self.month_risk()?;
        let amount = |money: Money| Amount::new(money.get()).map_err(|_| robson_domain::Overflow);
        let alert = OperatorAlertRaised {
            code: "monthly_halt".to_owned(),
            severity: AlertSeverity::Critical,
            message: format!("trading is halted for the rest of {}", risk.period),
            subject_id: Some(risk.key.account_id.to_string()),
            reason: Some(reason.clone()),
        };
        let exceeded = RiskLimitExceeded {
            account_id: risk.key.account_id,
            limit,
            limit_value: amount(month.budget()?)?,
            actual_value: amount(month.consumed()?)?,
            period: risk.period,
            action: LimitAction::Halt,
            capital_base: risk.capital_base,
            reason: Some(reason),
        };
        self.desk.add(draft, exceeded, self.now).await?;
        Ok(self.desk.add(draft, alert, self.now).await?)
    }
}

impl<S: Store> Desk<S> {
    /// Stops entries or lets them go on; what stands as it is wanted is left alone. Exits go on either way.
    pub(super) async fn set_entries(&mut self, asked: Asked<'_>, enabled: bool, reason: &Words) -> Answer {
        let Some(risk) = self.risk().cloned() else {
            return Ok(Err(Refused::NotReady(NO_MONTH.to_owned())));
        };
        let mut draft = self.draft_of_command(asked.id, asked.actor);
        if risk.entries_stopped == enabled {
            let changed = RiskLimitExceeded {
                account_id: risk.key.account_id,
                limit: LimitKind::Operator,
                limit_value: Amount::ZERO,
                actual_value: Amount::ZERO,
                period: risk.period,
                action: if enabled { LimitAction::Cleared } else { LimitAction::StopEntries },
                capital_base: risk.capital_base,
                reason: Some(reason.to_string()),
            };
            self.add(&mut draft, changed, asked.at).await?;
        }
        let account = AccountStanding { entries_stopped: !enabled, ..standing(&risk) };
        self.answer_with(draft, asked, Done { account: Some(account), ..Done::default() }).await
    }
}

const fn standing(risk: &RiskState) -> AccountStanding {
    AccountStanding { period: risk.period, halted: risk.halted, entries_stopped: risk.entries_stopped }
}
