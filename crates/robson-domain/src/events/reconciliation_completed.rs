//! RECONCILIATION_COMPLETED: the books were compared with the venue.
//!
//! Changes: the account has so many open discrepancies.
//!
//! Refused: when something was counted below zero.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, RiskKey};
use crate::{AccountId, WorkflowId};

/// The books were compared with the venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconciliationCompleted {
    /// The account.
    pub account_id: AccountId,
    /// The run.
    pub workflow_id: WorkflowId,
    /// How many positions, orders and balances were compared.
    pub checked: i64,
    /// How many differences are left open after the actions.
    pub discrepancies: i64,
    /// What was done about the others, in words.
    pub actions: Vec<String>,
    /// How long it took.
    pub duration_ms: i64,
}

impl EventBody for ReconciliationCompleted {
    const TYPE: &'static str = "RECONCILIATION_COMPLETED";
    const AUTHOR: Author = Author::Daemon;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![RiskKey::account(self.account_id).into()]
    }

    fn apply(&self, _ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        for count in [self.checked, self.discrepancies, self.duration_ms] {
            check(count >= 0, || format!("{count} cannot be counted"))?;
        }
        if let Some(risk) = entities.risk_mut(RiskKey::account(self.account_id)) {
            risk.open_discrepancies = self.discrepancies;
        }
        Ok(())
    }
}
