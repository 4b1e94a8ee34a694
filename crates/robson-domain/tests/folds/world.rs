//! A log in miniature: events are folded one by one, as a store would have them folded.

use std::collections::BTreeMap;
use std::path::Path;

use robson_domain::{
    AccountId, Balance, BalanceKey, Entities, Entity, EntityKey, Event, EventContext, Order, OrderId,
    Position, PositionId, RiskKey, RiskState, StrategyId, StrategyState, Timestamp, Violation,
};
use serde_json::{Value, json};

/// The frozen sample of a type with some fields replaced; `null` takes one away.
pub(crate) fn event(event_type: &str, changes: Value) -> Event {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("samples/{event_type}.v1.json"));
    let mut sample: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let payload = sample["payload"].as_object_mut().unwrap();
    for (field, value) in changes.as_object().unwrap() {
        payload.insert(field.clone(), value.clone());
    }
    payload.retain(|_, value| !value.is_null());
    Event::decode(event_type, sample["payload"].clone()).unwrap_or_else(|e| panic!("{e}"))
}

/// The rows that a sequence of events has come to.
#[derive(Clone, Default)]
pub(crate) struct World {
    rows: BTreeMap<EntityKey, Entity>,
    log_seq: i64,
}

impl World {
    /// Folds an event; a refusal changes nothing.
    pub(crate) fn fold_at(&mut self, at: &str, event: &Event) -> Result<(), Violation> {
        let at: Timestamp = at.parse().unwrap();
        let mut entities = Entities::new();
        loop {
            let missing: Vec<_> =
                event.touches(&entities).into_iter().filter(|k| !entities.is_loaded(k)).collect();
            if missing.is_empty() {
                break;
            }
            for key in missing {
                let row = self.rows.get(&key).cloned();
                entities.load(key, row);
            }
        }
        let log_seq = self.log_seq + 1;
        let ctx =
            EventContext { occurred_at: at, ingested_at: at, event_id: format!("event-{log_seq}"), log_seq };
        event.apply(&ctx, &mut entities)?;
        self.log_seq = log_seq;
        let changed: Vec<_> = entities.changed().cloned().collect();
        for key in changed {
            let row = entities.get(&key).expect("nothing is ever deleted").clone();
            self.rows.insert(key, row);
        }
        Ok(())
    }

    /// Folds a changed sample at the usual time.
    pub(crate) fn when(&mut self, event_type: &str, changes: Value) -> Result<(), Violation> {
        self.fold_at("2026-01-02T03:04:05.678Z", &event(event_type, changes))
    }

    /// Folds samples that must be lawful.
    pub(crate) fn given(mut self, events: &[(&str, Value)]) -> Self {
        for (event_type, changes) in events {
            self.when(event_type, changes.clone()).unwrap_or_else(|e| panic!("{event_type}: {e}"));
        }
        self
    }

    fn get(&self, key: impl Into<EntityKey>) -> &Entity {
        let key = key.into();
        self.rows.get(&key).unwrap_or_else(|| panic!("no row {key:?}"))
    }

    pub(crate) fn position(&self) -> &Position {
        match self.get(EntityKey::Position(position_id())) {
            Entity::Position(position) => position,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn order(&self, id: OrderId) -> &Order {
        match self.get(EntityKey::Order(id)) {
            Entity::Order(order) => order,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn risk(&self) -> &RiskState {
        match self.get(RiskKey::account(account_id())) {
            Entity::RiskState(risk) => risk,
            other => panic!("{other:?}"),
        }
    }

    /// The strategy's own risk state.
    pub(crate) fn strategy_risk(&self) -> &RiskState {
        match self.get(RiskKey::strategy(account_id(), self.strategy().strategy_id)) {
            Entity::RiskState(risk) => risk,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn strategy(&self) -> &StrategyState {
        let id: StrategyId = id("STRATEGY_CREATED", "strategy_id").parse().unwrap();
        match self.get(EntityKey::StrategyState(id)) {
            Entity::StrategyState(strategy) => strategy,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn balance(&self) -> &Balance {
        match self.get(BalanceKey { account_id: account_id(), asset: "USD".parse().unwrap() }) {
            Entity::Balance(balance) => balance,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn fills(&self) -> usize {
        self.rows.keys().filter(|key| matches!(key, EntityKey::Fill(_))).count()
    }
}

fn id(event_type: &str, field: &str) -> String {
    event(event_type, json!({})).payload()[field].as_str().unwrap().to_owned()
}

pub(crate) fn account_id() -> AccountId {
    id("ACCOUNT_LINKED", "account_id").parse().unwrap()
}

pub(crate) fn position_id() -> PositionId {
    id("POSITION_ARMED", "position_id").parse().unwrap()
}

pub(crate) fn entry_order() -> OrderId {
    id("ORDER_SUBMITTED", "order_id").parse().unwrap()
}

pub(crate) fn exit_order() -> OrderId {
    id("POSITION_CLOSED", "exit_order_id").parse().unwrap()
}
