//! RISK_CHECK_PASSED: the risk gate admitted an entry and reserved its planned risk.
//!
//! Changes: the planned risk is the position's and is reserved in the account and in the strategy; a
//! violation is over.
//!
//! Refused: unless the position is armed, the month is open and not halted, entries are not stopped, and
//! something is risked.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, RiskKey};
use crate::{AccountId, DecisionId, Money, PositionId, PositionState, RiskCheck, WrongState};

/// The risk gate admitted an entry and reserved its planned risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskCheckPassed {
    /// The account.
    pub account_id: AccountId,
    /// The decision.
    pub decision_id: DecisionId,
    /// The position.
    pub position_id: PositionId,
    /// The checks that it passed, in order.
    pub checks_performed: Vec<RiskCheck>,
    /// The latent risk without it.
    pub exposure_before: Money,
    /// The latent risk with it.
    pub exposure_after: Money,
    /// The worst loss that was admitted.
    pub planned_risk: Money,
    /// The risk base that it was measured by.
    pub capital_base: Money,
}

impl EventBody for RiskCheckPassed {
    const TYPE: &'static str = "RISK_CHECK_PASSED";
    const AUTHOR: Author = Author::Risk;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        let mut keys = entities.position_keys(self.position_id);
        keys.push(RiskKey::account(self.account_id).into());
        keys
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut position = entities.existing_position(self.position_id)?.clone();
        if position.state != PositionState::Armed {
            return Err(WrongState { state: position.state, event: "admit an entry" }.into());
        }
        let risk = entities.account_risk(self.account_id)?;
        check(!risk.halted, || "trading is halted".to_owned())?;
        check(!risk.entries_stopped, || "entries are stopped".to_owned())?;
        check(self.planned_risk > Money::ZERO, || "a planned risk of nothing".to_owned())?;
        position.planned_risk = Some(self.planned_risk);
        let strategy_id = position.strategy_id;
        entities.replace_position(position, ctx)?;
        entities.move_risk(self.account_id, strategy_id, ctx.occurred_at, |risk| {
            risk.clear_violation();
            Ok(())
        })?;
        Ok(())
    }
}
