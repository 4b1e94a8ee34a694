//! The month's budget: opened with each UTC month of the feed, and the halt when it is spent.

use robson_domain::events::RiskLimitExceeded;
use robson_domain::{Amount, ExitReason, LimitAction, LimitKind, Money, PositionState};
use robson_eventlog::Store;
use robson_venue::exchange::Exchange;

use super::{Trader, TraderError};

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
        Ok(self.desk.commit(draft).await?)
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
        for _ in self.desk.positions().filter(|position| position.state == PositionState::Armed) {
            carried = carried.plus(per_armed)?;
        }
        Ok(wallet.minus(carried)?.at_least_zero())
    }

    /// Halts the month when its budget is spent: everything is closed, nothing is opened until the next. That it
    /// halts and what it closes is one decision, so a crash cannot part them.
    pub(super) async fn halt_if_spent(&mut self) -> Result<(), TraderError> {
        let Some(risk) = self.desk.risk() else { return Ok(()) };
        let month = self.month_risk()?;
        if risk.halted || !month.must_halt()? {
            return Ok(());
        }
        let (budget, consumed) = (month.budget()?, month.consumed()?);
        let amount = |money: Money| Amount::new(money.get()).map_err(|_| robson_domain::Overflow);
        let exceeded = RiskLimitExceeded {
            account_id: self.desk.account_id(),
            limit: LimitKind::MonthlyDrawdown,
            limit_value: amount(budget)?,
            actual_value: amount(consumed)?,
            period: risk.period,
            action: LimitAction::Halt,
            capital_base: risk.capital_base,
            reason: Some(format!("{consumed} of the month's {budget} are lost")),
        };
        let id = self.desk.derive(self.now, "halt", &[&risk.period.to_string()]);
        let mut draft = self.desk.draft(id, self.now);
        self.desk.add(&mut draft, exceeded, self.now).await?;
        let closing = self.decide_to_close_all(&mut draft, ExitReason::MonthlyHalt).await?;
        self.desk.commit(draft).await?;
        self.see_closed(&closing).await
    }
}
