//! RISK_CHECK_FAILED: the risk gate denied an entry.

use serde::{Deserialize, Serialize};

use super::{EventBody, EventContext, StreamName, Violation};
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

impl EventBody for RiskCheckFailed {
    const TYPE: &'static str = "RISK_CHECK_FAILED";

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![RiskKey::account(self.account_id).into()]
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        if let Some(risk) = entities.risk_mut(RiskKey::account(self.account_id)) {
            risk.violate(self.violation_reason.clone(), ctx.occurred_at);
        }
        Ok(())
    }
}
