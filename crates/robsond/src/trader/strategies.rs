//! Strategies: made, enabled, disabled and set by the operator. None of it needs the venue.

use robson_domain::events::{StrategyConfigUpdated, StrategyCreated, StrategyDisabled, StrategyEnabled};
use robson_domain::{
    Entity, EntityKey, Money, RiskConfig, RiskKey, RiskScope, RiskState, StrategyId, StrategyState,
};
use robson_eventlog::{RowQuery, Store, Value};
use robson_projector::strategy_state_current;

use super::commands::{Answer, Asked};
use super::{Desk, DeskError, Draft};
use crate::operator::{Done, NewStrategy, Refused, StrategyUpdate, TouchedStrategy, Words};

impl<S: Store> Desk<S> {
    /// Makes a strategy; it may not enter yet.
    pub(super) async fn create_strategy(&mut self, asked: Asked<'_>, strategy: &NewStrategy) -> Answer {
        if let Err(refused) = check_limits(&strategy.risk_config) {
            return Ok(Err(refused));
        }
        if self.is_name_taken(&strategy.name).await? {
            let why = format!("there is a strategy `{}` already", strategy.name);
            return Ok(Err(Refused::WrongState(why)));
        }
        let strategy_id = StrategyId(self.derive(asked.at, "strategy", &[&asked.id.to_string()]));
        let mut draft = self.draft_of_command(asked.id, asked.actor);
        let created = StrategyCreated {
            strategy_id,
            account_id: self.account_id(),
            strategy_name: strategy.name.to_string(),
            strategy_type: strategy.kind.to_string(),
            detector_config: strategy.detector_config.clone(),
            risk_config: strategy.risk_config.clone(),
        };
        self.add(&mut draft, created, asked.at).await?;
        self.answer_strategy(draft, asked, strategy_id).await
    }

    /// Lets a strategy enter; one that may already stays as it is.
    pub(super) async fn enable_strategy(&mut self, asked: Asked<'_>, strategy_id: StrategyId) -> Answer {
        let strategy = match self.strategy(strategy_id).await? {
            Ok(strategy) => strategy,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut draft = self.draft_of_command(asked.id, asked.actor);
        if !strategy.is_enabled {
            let enabled = StrategyEnabled {
                strategy_id,
                account_id: strategy.account_id,
                strategy_name: strategy.strategy_name,
                strategy_type: strategy.strategy_type,
                detector_config: strategy.detector_config,
                risk_config: strategy.risk_config,
            };
            self.add(&mut draft, enabled, asked.at).await?;
        }
        self.answer_strategy(draft, asked, strategy_id).await
    }

    /// Keeps a strategy from entering; what it holds goes on. One that may not already stays as it is.
    pub(super) async fn disable_strategy(
        &mut self,
        asked: Asked<'_>,
        strategy_id: StrategyId,
        reason: Option<&Words>,
    ) -> Answer {
        let strategy = match self.strategy(strategy_id).await? {
            Ok(strategy) => strategy,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut draft = self.draft_of_command(asked.id, asked.actor);
        if strategy.is_enabled {
            let disabled = StrategyDisabled { strategy_id, reason: reason.map(ToString::to_string) };
            self.add(&mut draft, disabled, asked.at).await?;
        }
        self.answer_strategy(draft, asked, strategy_id).await
    }

    /// Changes a strategy's settings.
    pub(super) async fn update_strategy(&mut self, asked: Asked<'_>, update: &StrategyUpdate) -> Answer {
        let strategy_id = update.strategy_id;
        if let Some(Err(refused)) = update.risk_config.as_ref().map(check_limits) {
            return Ok(Err(refused));
        }
        if update.detector_config.is_none() && update.risk_config.is_none() {
            return Ok(Err(Refused::Invalid("there is nothing to change".to_owned())));
        }
        let strategy = match self.strategy(strategy_id).await? {
            Ok(strategy) => strategy,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut draft = self.draft_of_command(asked.id, asked.actor);
        let updated = StrategyConfigUpdated {
            strategy_id,
            detector_config: update.detector_config.clone(),
            risk_config: update.risk_config.clone(),
            config_version: strategy.config_version.saturating_add(1),
        };
        self.add(&mut draft, updated, asked.at).await?;
        self.answer_strategy(draft, asked, strategy_id).await
    }

    async fn answer_strategy(&mut self, draft: Draft, asked: Asked<'_>, id: StrategyId) -> Answer {
        let strategy = match draft.strategy(id) {
            Some(strategy) => strategy.clone(),
            None => match self.strategy(id).await? {
                Ok(strategy) => strategy,
                Err(refused) => return Ok(Err(refused)),
            },
        };
        let touched = TouchedStrategy {
            strategy_id: id,
            strategy_name: strategy.strategy_name,
            is_enabled: strategy.is_enabled,
            config_version: strategy.config_version,
        };
        self.answer_with(draft, asked, Done { strategy: Some(touched), ..Done::default() }).await
    }

    /// A strategy that may enter, or why it may not.
    pub(super) async fn enabled_strategy(
        &mut self,
        id: StrategyId,
    ) -> Result<Result<StrategyState, Refused>, DeskError> {
        Ok(self.strategy(id).await?.and_then(|strategy| {
            if strategy.is_enabled {
                Ok(strategy)
            } else {
                Err(Refused::WrongState(format!("the strategy `{}` is not enabled", strategy.strategy_name)))
            }
        }))
    }

    async fn strategy(&mut self, id: StrategyId) -> Result<Result<StrategyState, Refused>, DeskError> {
        let strategy = match self.load(EntityKey::StrategyState(id)).await? {
            Some(Entity::StrategyState(strategy)) if strategy.account_id == self.account_id() => strategy,
            _ => return Ok(Err(Refused::NotFound(format!("there is no strategy {id}")))),
        };
        Ok(Ok(strategy))
    }

    /// What a strategy has taken of its limits.
    pub(super) async fn strategy_risk(&mut self, id: StrategyId) -> Result<Option<RiskState>, DeskError> {
        let key = RiskKey { account_id: self.account_id(), scope: RiskScope::Strategy(id) };
        match self.load(key.into()).await? {
            Some(Entity::RiskState(risk)) => Ok(Some(risk)),
            _ => Ok(None),
        }
    }

    async fn is_name_taken(&self, name: &Words) -> Result<bool, DeskError> {
        let filters = vec![
            ("account_id", Value::Uuid(self.account_id().0)),
            ("strategy_name", Value::Text(name.to_string())),
        ];
        let query = RowQuery { filters, limit: Some(1), ..RowQuery::all() };
        let store = self.ledger().store();
        let rows = store.rows(self.ledger().tenant(), &strategy_state_current::TABLE, &query).await?;
        Ok(!rows.is_empty())
    }
}

fn check_limits(config: &RiskConfig) -> Result<(), Refused> {
    let limits = [("max_exposure", config.max_exposure), ("daily_loss_limit", config.daily_loss_limit)];
    match limits.into_iter().find(|(_, limit)| limit.is_some_and(|limit| limit <= Money::ZERO)) {
        Some((name, _)) => Err(Refused::Invalid(format!("{name}: a limit is above 0"))),
        None => Ok(()),
    }
}
