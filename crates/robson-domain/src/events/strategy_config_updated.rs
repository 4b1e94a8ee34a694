//! STRATEGY_CONFIG_UPDATED: a strategy's settings changed.
//!
//! Changes: the settings that are told, and their version.
//!
//! Refused: when there is no such strategy, the version does not follow the one in force, or a limit is below
//! zero.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, RiskConfig};
use crate::{Json, StrategyId};

/// A strategy's settings changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyConfigUpdated {
    /// The strategy.
    pub strategy_id: StrategyId,
    /// What its detectors are set to from now on; as before where it is left out.
    pub detector_config: Option<Json>,
    /// Its own limits from now on, all of them; as before where it is left out.
    pub risk_config: Option<RiskConfig>,
    /// Counts the changes: one more than before, so that two changes of the same settings cannot both be made.
    pub config_version: i64,
}

impl EventBody for StrategyConfigUpdated {
    const TYPE: &'static str = "STRATEGY_CONFIG_UPDATED";
    const AUTHOR: Author = Author::Operator;

    fn stream(&self) -> StreamName {
        StreamName::Strategy(self.strategy_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.strategy_keys(self.strategy_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let mut strategy = entities.existing_strategy(self.strategy_id)?.clone();
        let (next, before) = (self.config_version, strategy.config_version);
        check(before.checked_add(1) == Some(next), || {
            format!("version {next} of the settings does not follow {before}")
        })?;
        strategy.config_version = next;
        if let Some(detector_config) = &self.detector_config {
            strategy.detector_config = Some(detector_config.clone());
        }
        if let Some(risk_config) = &self.risk_config {
            strategy.risk_config.clone_from(risk_config);
        }
        entities.put_strategy(strategy, ctx)
    }
}
