//! STRATEGY_CREATED: a strategy exists; it is not enabled yet.
//!
//! Changes: a new strategy, not enabled, and its risk state.
//!
//! Refused: when the strategy exists, or a limit is below zero.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, RiskConfig, RiskKey, StrategyState};
use crate::{AccountId, Json, Money, StrategyId};

/// A strategy exists; it is not enabled yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyCreated {
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

impl EventBody for StrategyCreated {
    const TYPE: &'static str = "STRATEGY_CREATED";
    const AUTHOR: Author = Author::System;

    fn stream(&self) -> StreamName {
        StreamName::Strategy(self.strategy_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![
            EntityKey::StrategyState(self.strategy_id),
            RiskKey::account(self.account_id).into(),
            RiskKey::strategy(self.account_id, self.strategy_id).into(),
        ]
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        check(entities.strategy(self.strategy_id).is_none(), || {
            format!("strategy {} exists already", self.strategy_id)
        })?;
        let strategy = StrategyState {
            strategy_id: self.strategy_id,
            account_id: self.account_id,
            strategy_name: self.strategy_name.clone(),
            strategy_type: self.strategy_type.clone(),
            detector_config: self.detector_config.clone(),
            risk_config: self.risk_config.clone(),
            config_version: 1,
            is_enabled: false,
            enabled_at: None,
            disabled_at: None,
            disabled_reason: None,
            total_signals: 0,
            total_positions: 0,
            open_positions: 0,
            closed_positions: 0,
            wins: 0,
            total_pnl: Money::ZERO,
            win_rate: None,
            meta: ctx.meta(),
        };
        entities.put_strategy(strategy, ctx)
    }
}
