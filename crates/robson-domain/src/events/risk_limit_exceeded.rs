//! RISK_LIMIT_EXCEEDED: a limit was exceeded, or a month begins with a clean slate.
//!
//! `cleared` ends a stop of entries; for a new month it opens that month: its base is set, its sums are
//! zeroed and a halt ends.
//!
//! Changes: the account is halted, its entries are stopped, or it is in violation.
//!
//! Refused: when no month is open and none is to be opened, or when the month to be opened is an earlier one.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, RiskKey, RiskState};
use crate::{AccountId, Amount, LimitAction, LimitKind, Money, Month};

/// A limit was exceeded, or a month begins with a clean slate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskLimitExceeded {
    /// The account.
    pub account_id: AccountId,
    /// Which limit.
    pub limit: LimitKind,
    /// What it permits.
    pub limit_value: Amount,
    /// What was found.
    pub actual_value: Amount,
    /// The UTC month.
    pub period: Month,
    /// What follows.
    pub action: LimitAction,
    /// The risk base of the month.
    pub capital_base: Money,
    /// In words.
    pub reason: Option<String>,
}

impl RiskLimitExceeded {
    const fn key(&self) -> RiskKey {
        RiskKey::account(self.account_id)
    }
}

impl EventBody for RiskLimitExceeded {
    const TYPE: &'static str = "RISK_LIMIT_EXCEEDED";
    const AUTHOR: Author = Author::Risk;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![self.key().into()]
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let Some(risk) = entities.risk_mut(self.key()) else {
            check(self.action == LimitAction::Cleared, || "no month of the account is open".to_owned())?;
            entities.put(RiskState::opened(self.key(), self.period, self.capital_base, ctx));
            return Ok(());
        };
        let reason =
            || self.reason.clone().unwrap_or_else(|| format!("{}: {}", self.limit, self.actual_value));
        match self.action {
            LimitAction::Halt => {
                risk.halted = true;
                risk.violate(reason(), ctx.occurred_at);
            }
            LimitAction::StopEntries => {
                risk.entries_stopped = true;
                risk.violate(reason(), ctx.occurred_at);
            }
            LimitAction::Warn => risk.violate(reason(), ctx.occurred_at),
            LimitAction::Cleared if self.period == risk.period => {
                risk.entries_stopped = false;
                risk.clear_violation();
            }
            LimitAction::Cleared => {
                let (old, new) = (risk.period, self.period);
                check(new > old, || format!("month {new} cannot follow {old}"))?;
                risk.open_month(new, self.capital_base, ctx.occurred_at)?;
            }
        }
        Ok(())
    }
}
