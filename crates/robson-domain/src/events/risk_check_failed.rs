//! RISK_CHECK_FAILED: the risk gate denied an entry.
//!
//! Changes: the account is in violation; so is the strategy where its own limit was among what failed.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey, RiskKey};
use crate::{AccountId, Amount, DecisionId, DenialSeverity, PositionId, RiskCheck, StrategyId};

/// The risk gate denied an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskCheckFailed {
    /// The account.
    pub account_id: AccountId,
    /// The decision.
    pub decision_id: Option<DecisionId>,
    /// The position.
    pub position_id: Option<PositionId>,
    /// The strategy.
    pub strategy_id: Option<StrategyId>,
    /// What failed.
    pub failed_checks: Vec<FailedCheck>,
    /// What it leads to.
    pub severity: DenialSeverity,
    /// In words.
    pub violation_reason: String,
}

/// A check that failed, with what it compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCheck {
    /// Which check.
    pub check: RiskCheck,
    /// What it permits.
    pub limit: Amount,
    /// What it found.
    pub actual: Amount,
}

impl RiskCheckFailed {
    /// The strategy, where one of its own limits was among what failed.
    fn breached_strategy(&self) -> Option<StrategyId> {
        let own =
            |failed: &FailedCheck| matches!(failed.check, RiskCheck::MaxExposure | RiskCheck::DailyLoss);
        self.strategy_id.filter(|_| self.failed_checks.iter().any(own))
    }
}

impl EventBody for RiskCheckFailed {
    const TYPE: &'static str = "RISK_CHECK_FAILED";
    const AUTHOR: Author = Author::Risk;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        let strategy = self.strategy_id.map(|id| RiskKey::strategy(self.account_id, id));
        [RiskKey::account(self.account_id)].into_iter().chain(strategy).map(Into::into).collect()
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        entities.move_risk(self.account_id, self.breached_strategy(), ctx.occurred_at, |risk| {
            risk.violate(self.violation_reason.clone(), ctx.occurred_at);
            Ok(())
        })?;
        Ok(())
    }
}
