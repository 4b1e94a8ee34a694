//! STRATEGY_DISABLED: a strategy may not enter any more.
//!
//! Changes: the strategy is disabled, since when and why.
//!
//! Refused: when there is no such strategy.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::StrategyId;
use crate::entities::{Entities, EntityKey};

/// A strategy may not enter any more; what it holds goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyDisabled {
    /// The strategy.
    pub strategy_id: StrategyId,
    /// Why.
    pub reason: Option<String>,
}

impl EventBody for StrategyDisabled {
    const TYPE: &'static str = "STRATEGY_DISABLED";
    const AUTHOR: Author = Author::Operator;

    fn stream(&self) -> StreamName {
        StreamName::Strategy(self.strategy_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![EntityKey::StrategyState(self.strategy_id)]
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut strategy = entities.existing_strategy(self.strategy_id)?.clone();
        if strategy.is_enabled || strategy.disabled_at.is_none() {
            strategy.disabled_at = Some(ctx.occurred_at);
        }
        strategy.is_enabled = false;
        strategy.disabled_reason.clone_from(&self.reason);
        entities.put(strategy);
        Ok(())
    }
}
