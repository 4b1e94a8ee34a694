//! The desk: decisions on top of what the log has come to, made durable whole.
//!
//! A [`Draft`] is a decision in the making. Each event is folded into the draft's own entities as it is
//! added, by the same folds that write the tables, so the next event of the decision can rest on it. The
//! desk is the only writer of its tenant's log, so what it holds is valid until it changes it itself.

use std::collections::BTreeMap;

use robson_domain::{
    AccountId, CommandId, Entities, Entity, EntityKey, Event, EventContext, IntentId, Order, OrderId,
    OrderRole, Position, PositionId, RiskKey, RiskState, StrategyId, StrategyState, StreamName, Timestamp,
    TraceId, Violation, WorkflowId, derived_id,
};
use robson_eventlog::{
    Actor, ActorType, Append, AppendError, CommandRecord, EventId, EventQuery, Expected, Ledger, NewEvent,
    Outcome, RowQuery, Store, StoreError, StreamKey, Trace,
};
use robson_projector::{InvalidEvent, new_event, read_row, row_key, table_of};
use uuid::Uuid;

/// Why a decision did not become durable.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// An event does not follow from what the log says.
    #[error(transparent)]
    Refused(#[from] Violation),
    /// The log did not take it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the log says cannot be, or a decision met another that it did not know of: halt.
    #[error("{0}")]
    Broken(String),
}

impl From<InvalidEvent> for DeskError {
    fn from(error: InvalidEvent) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<robson_domain::Overflow> for DeskError {
    fn from(error: robson_domain::Overflow) -> Self {
        Self::Refused(error.into())
    }
}

/// A decision in the making.
#[derive(Debug)]
pub struct Draft {
    id: Uuid,
    trace_id: TraceId,
    actor: Actor,
    events: Vec<Drafted>,
    entities: Entities,
    /// The command that it answers.
    pub command: Option<CommandRecord>,
    /// The detector run that it belongs to.
    pub workflow_id: Option<WorkflowId>,
    /// The version of the account's stream that it rests on: no other entry may have spent the budget since.
    account_version: Option<i64>,
}

#[derive(Debug)]
struct Drafted {
    event: Event,
    occurred_at: Timestamp,
    actor_type: ActorType,
}

impl Draft {
    /// Whether nothing was decided.
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// A position as the draft leaves it.
    pub fn position(&self, id: PositionId) -> Option<&Position> {
        let key = EntityKey::Position(id);
        if self.entities.is_loaded(&key) { self.entities.position(id) } else { None }
    }

    /// A strategy as the draft leaves it.
    pub fn strategy(&self, id: StrategyId) -> Option<&StrategyState> {
        let key = EntityKey::StrategyState(id);
        if self.entities.is_loaded(&key) { self.entities.strategy(id) } else { None }
    }

    /// An order as the draft leaves it.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        let key = EntityKey::Order(id);
        if self.entities.is_loaded(&key) { self.entities.order(id) } else { None }
    }
}

/// The writer's view of the trader's log.
#[derive(Debug)]
pub struct Desk<S> {
    ledger: Ledger<S>,
    account_id: AccountId,
    account_stream: StreamKey,
    account_version: i64,
    held: BTreeMap<EntityKey, Option<Entity>>,
    last_events: BTreeMap<StreamKey, EventId>,
}

impl<S: Store> Desk<S> {
    /// Takes up what the log has come to: live positions, their orders, the account's month.
    ///
    /// # Errors
    /// As the store says.
    pub async fn open(ledger: Ledger<S>, account_id: AccountId) -> Result<Self, DeskError> {
        let account_stream = stream_key(&StreamName::Account(account_id))?;
        let versions = ledger.store().streams(ledger.tenant(), std::slice::from_ref(&account_stream)).await?;
        let mut desk = Self {
            account_version: versions.first().map_or(0, |version| version.last_seq),
            ledger,
            account_id,
            account_stream,
            held: BTreeMap::new(),
            last_events: BTreeMap::new(),
        };
        for state in robson_domain::PositionState::ALL.iter().filter(|state| state.is_live()) {
            let filter = RowQuery::filter("state", robson_eventlog::Value::Text(state.as_str().to_owned()));
            let table = &robson_projector::positions_current::TABLE;
            for row in desk.ledger.store().rows(desk.ledger.tenant(), table, &filter).await? {
                let position = robson_projector::positions_current::entity(&row);
                let position = position.map_err(|bad| DeskError::Broken(bad.to_string()))?;
                let orders = [position.entry_order_id, position.exit_order_id];
                desk.hold(position.into());
                for order_id in orders.into_iter().flatten() {
                    desk.load(EntityKey::Order(order_id)).await?;
                }
            }
        }
        desk.load(RiskKey::account(account_id).into()).await?;
        Ok(desk)
    }

    /// The ledger beneath.
    pub const fn ledger(&self) -> &Ledger<S> {
        &self.ledger
    }

    /// The account that is traded.
    pub const fn account_id(&self) -> AccountId {
        self.account_id
    }

    /// The tenant's id as ids are derived from it.
    pub fn tenant_text(&self) -> String {
        self.ledger.tenant().to_string()
    }

    /// An id that is a function of its cause, within this tenant.
    pub fn derive(&self, at: Timestamp, kind: &str, parts: &[&str]) -> Uuid {
        let tenant = self.tenant_text();
        let all: Vec<&str> = [kind, tenant.as_str()].into_iter().chain(parts.iter().copied()).collect();
        derived_id(at, &all)
    }

    /// The id of the intent to place an order for a position.
    pub fn intent_id(&self, at: Timestamp, position: PositionId, role: OrderRole, cause: &str) -> IntentId {
        IntentId(self.derive(at, "intent", &[&position.to_string(), role.as_str(), cause]))
    }

    /// Every live position, by id.
    pub fn positions(&self) -> impl Iterator<Item = &Position> {
        self.held.values().filter_map(|slot| match slot {
            Some(Entity::Position(position)) if position.state.is_live() => Some(position),
            _ => None,
        })
    }

    /// A live position.
    pub fn position(&self, id: PositionId) -> Option<&Position> {
        match self.held.get(&EntityKey::Position(id)) {
            Some(Some(Entity::Position(position))) => Some(position),
            _ => None,
        }
    }

    /// An order of a live position.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        match self.held.get(&EntityKey::Order(id)) {
            Some(Some(Entity::Order(order))) => Some(order),
            _ => None,
        }
    }

    /// The account's month; nothing before the first one was opened.
    pub fn risk(&self) -> Option<&RiskState> {
        match self.held.get(&RiskKey::account(self.account_id).into()) {
            Some(Some(Entity::RiskState(risk))) => Some(risk),
            _ => None,
        }
    }

    /// The orders of live positions that may still be working at the venue, by id.
    pub fn working_orders(&self) -> Vec<Order> {
        let orders = self.held.values().filter_map(|slot| match slot {
            Some(Entity::Order(order)) if order.is_working() => Some(order.clone()),
            _ => None,
        });
        orders.collect()
    }

    /// Begins a decision; `id` is a function of its cause, so that the same decision cannot be made twice.
    pub fn draft(&self, id: Uuid, at: Timestamp) -> Draft {
        Draft {
            id,
            trace_id: TraceId(self.derive(at, "tick", &[])),
            actor: Actor::of(ActorType::Daemon),
            events: Vec::new(),
            entities: Entities::new(),
            command: None,
            workflow_id: None,
            account_version: None,
        }
    }

    /// Begins the answer to a command.
    pub fn draft_of_command(&self, command_id: CommandId, actor: &str) -> Draft {
        Draft {
            id: command_id.0,
            trace_id: TraceId(command_id.0),
            actor: Actor { actor_type: ActorType::Cli, id: Some(actor.to_owned()) },
            events: Vec::new(),
            entities: Entities::new(),
            command: None,
            workflow_id: None,
            account_version: None,
        }
    }

    /// Lets a decision rest on the account's budget as it stands now.
    pub fn rest_on_account(&self, draft: &mut Draft) {
        draft.account_version = Some(self.account_version);
    }

    /// Adds an event of the draft's own actor.
    ///
    /// # Errors
    /// `Refused` when it does not follow; the draft must then be dropped.
    pub async fn add(
        &mut self,
        draft: &mut Draft,
        event: impl Into<Event>,
        occurred_at: Timestamp,
    ) -> Result<(), DeskError> {
        let actor_type = draft.actor.actor_type;
        self.add_by(draft, event.into(), occurred_at, actor_type).await
    }

    /// Adds what the venue said.
    ///
    /// # Errors
    /// As [`Desk::add`].
    pub async fn add_fact(
        &mut self,
        draft: &mut Draft,
        event: impl Into<Event>,
        occurred_at: Timestamp,
    ) -> Result<(), DeskError> {
        self.add_by(draft, event.into(), occurred_at, ActorType::Exchange).await
    }

    async fn add_by(
        &mut self,
        draft: &mut Draft,
        event: Event,
        occurred_at: Timestamp,
        actor_type: ActorType,
    ) -> Result<(), DeskError> {
        loop {
            let keys = event.touches(&draft.entities);
            let missing: Vec<EntityKey> =
                keys.into_iter().filter(|key| !draft.entities.is_loaded(key)).collect();
            if missing.is_empty() {
                break;
            }
            for key in missing {
                let entity = self.load(key.clone()).await?;
                draft.entities.load(key, entity);
            }
        }
        // Places and ids are the ledger's to give; no decision rests on them.
        let ctx = EventContext { occurred_at, ingested_at: occurred_at, event_id: String::new(), log_seq: 0 };
        event.apply(&ctx, &mut draft.entities)?;
        draft.events.push(Drafted { event, occurred_at, actor_type });
        Ok(())
    }

    /// Makes a decision durable. One that was made before counts as made.
    ///
    /// # Errors
    /// What was decided is then not durable, or (`Append(Unavailable)`) not known to be.
    pub async fn commit(&mut self, draft: Draft) -> Result<(), DeskError> {
        if draft.events.is_empty() && draft.command.is_none() {
            return Ok(());
        }
        let mut request = Append { command: draft.command.clone(), ..Append::default() };
        for (index, drafted) in draft.events.iter().enumerate() {
            request.events.push(self.envelope(&draft, index, drafted)?);
        }
        if let Some(version) = draft.account_version {
            request = request.expecting(self.account_stream.clone(), Expected::Exact(version));
        }
        let streams: Vec<StreamKey> = request.events.iter().map(|event| event.stream.clone()).collect();
        match self.ledger.append(request).await? {
            Outcome::Appended(appended) => {
                let account = appended.streams.iter().find(|version| version.stream == self.account_stream);
                self.account_version = account.map_or(self.account_version, |version| version.last_seq);
                for (stream, receipt) in streams.into_iter().zip(&appended.events) {
                    self.last_events.insert(stream, receipt.event_id);
                }
                self.take_over(draft.entities);
                Ok(())
            }
            // It was durable before this draft was made, so it may stand in what the draft rests on already.
            Outcome::Duplicate { .. } => {
                for entity in draft.entities.iter() {
                    self.held.remove(&entity.key());
                    self.load(entity.key()).await?;
                }
                Ok(())
            }
            other => Err(DeskError::Broken(format!("the only writer's decision was answered {other:?}"))),
        }
    }

    fn envelope(&self, draft: &Draft, index: usize, drafted: &Drafted) -> Result<NewEvent, DeskError> {
        let mut new = new_event(&drafted.event, drafted.occurred_at)?;
        if new.dedupe_key.is_none() {
            let key = format!("{}/{index}", draft.id);
            new.dedupe_key =
                Some(key.parse().map_err(|_| DeskError::Broken(format!("bad dedupe key {key}")))?);
        }
        new.actor = match drafted.actor_type {
            own if own == draft.actor.actor_type => draft.actor.clone(),
            other => Actor::of(other),
        };
        new.caused_by = index.checked_sub(1);
        new.trace = Trace {
            trace_id: Some(draft.trace_id.0),
            causation_id: self.last_events.get(&new.stream).copied(),
            command_id: draft.command.as_ref().map(|command| command.id),
            workflow_id: draft.workflow_id.map(|id| id.0),
        };
        Ok(new)
    }

    /// The entity under a key, from what is held or from the store.
    ///
    /// # Errors
    /// As the store says.
    pub async fn load(&mut self, key: EntityKey) -> Result<Option<Entity>, DeskError> {
        if let Some(held) = self.held.get(&key) {
            return Ok(held.clone());
        }
        let place = row_key(&key);
        let query = RowQuery::keys(vec![place.key]);
        let rows = self.ledger.store().rows(self.ledger.tenant(), table_of(&key), &query).await?;
        let entity = rows.first().map(|row| read_row(&key, row)).transpose();
        let entity = entity.map_err(|bad| DeskError::Broken(bad.to_string()))?;
        // A fill is looked at once.
        if !matches!(key, EntityKey::Fill(_)) {
            self.held.insert(key, entity.clone());
        }
        Ok(entity)
    }

    fn hold(&mut self, entity: Entity) {
        self.held.insert(entity.key(), Some(entity));
    }

    /// What a durable draft changed is what the desk holds; ended positions and their orders are let go.
    fn take_over(&mut self, entities: Entities) {
        let mut ended = Vec::new();
        for entity in entities.iter() {
            match entity {
                Entity::Fill(_) => {}
                Entity::Position(position) if !position.state.is_live() => ended.push(position.clone()),
                entity => self.hold(entity.clone()),
            }
        }
        for position in ended {
            self.held.remove(&EntityKey::Position(position.position_id));
            self.held.retain(|_, slot| {
                !matches!(slot, Some(Entity::Order(order)) if order.position_id == Some(position.position_id))
            });
            let stream = StreamName::Position(position.position_id).to_string();
            self.last_events.retain(|key, _| key.as_str() != stream && !key.as_str().starts_with("order:"));
        }
    }

    /// How many orders of a role a position has had: the number of the next attempt, less one.
    ///
    /// # Errors
    /// As the store says.
    pub async fn attempts(&self, position: PositionId, role: OrderRole) -> Result<i64, DeskError> {
        let table = &robson_projector::orders_current::TABLE;
        let query = RowQuery {
            filters: vec![
                ("position_id", robson_eventlog::Value::Uuid(position.0)),
                ("role", robson_eventlog::Value::Text(role.as_str().to_owned())),
            ],
            ..RowQuery::default()
        };
        let rows = self.ledger.store().rows(self.ledger.tenant(), table, &query).await?;
        i64::try_from(rows.len()).map_err(|_| DeskError::Broken("too many orders".to_owned()))
    }

    /// The events of a position's own stream, oldest first.
    ///
    /// # Errors
    /// As the store says.
    pub async fn story(&self, position: PositionId) -> Result<Vec<Event>, DeskError> {
        let stream = stream_key(&StreamName::Position(position))?;
        let mut query = EventQuery::stream(self.ledger.tenant(), stream);
        let mut events = Vec::new();
        loop {
            let page = self.ledger.store().read(&query).await?;
            for recorded in &page.events {
                let event = robson_projector::event_of(recorded);
                events.push(event.map_err(|error| DeskError::Broken(error.to_string()))?);
            }
            match page.events.last() {
                Some(last) if page.events.len() == query.limit => query.after = last.log_seq,
                _ => return Ok(events),
            }
        }
    }
}

fn stream_key(name: &StreamName) -> Result<StreamKey, DeskError> {
    StreamKey::new(name.to_string()).map_err(|error| DeskError::Broken(error.to_string()))
}
