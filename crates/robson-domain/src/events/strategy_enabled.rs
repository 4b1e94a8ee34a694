//! STRATEGY_ENABLED: a strategy may enter; its settings are these.
//!
//! Changes: the strategy is enabled and its settings are replaced.
//!
//! Refused: when there is no such strategy, it is of another account, or a limit is below zero.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, RiskConfig};
use crate::{AccountId, Json, StrategyId};

/// A strategy may enter; its settings are these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyEnabled {
    /// The strategy.
    pub strategy_id: StrategyId,
    /// The account that it trades for.
    pub account_id: AccountId,
    /// Its name.
    pub strategy_name: String,
    /// Its kind.
    pub strategy_type: String,
    /// What its detectors are set to.
    pub detector_config: Option<Json>,
    /// Its own limits.
    pub risk_config: RiskConfig,
}

impl EventBody for StrategyEnabled {
    const TYPE: &'static str = "STRATEGY_ENABLED";
    const AUTHOR: Author = Author::Operator;

    fn stream(&self) -> StreamName {
        StreamName::Strategy(self.strategy_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.strategy_keys(self.strategy_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut strategy = entities.existing_strategy(self.strategy_id)?.clone();
        check(strategy.account_id == self.account_id, || {
            format!("strategy {} belongs to account {}", self.strategy_id, strategy.account_id)
        })?;
        let replaced =
            strategy.detector_config != self.detector_config || strategy.risk_config != self.risk_config;
        strategy.config_version += i64::from(replaced);
        strategy.strategy_name.clone_from(&self.strategy_name);
        strategy.strategy_type.clone_from(&self.strategy_type);
        strategy.detector_config.clone_from(&self.detector_config);
        strategy.risk_config.clone_from(&self.risk_config);
        strategy.is_enabled = true;
        strategy.enabled_at = Some(ctx.occurred_at);
        strategy.disabled_at = None;
        strategy.disabled_reason = None;
        entities.put_strategy(strategy, ctx)
    }
}
