//! Consumers: a subscription and a checkpoint that moves in the commit of what is done about each event.
//!
//! An event is delivered until it is acknowledged, parked or skipped, and its effects commit with the
//! checkpoint: so they happen once, whatever dies in between. The right to consume is the tenant's lease:
//! the one writer is the one active consumer, and whoever lost the lease can acknowledge nothing.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::batch::{CheckpointMove, TableRows};
use crate::event::{NewEvent, RecordedEvent};
use crate::ledger::{Append, AppendError, Appended, Ledger, Outcome};
use crate::names::{DedupeKey, TenantId};
use crate::parking::{self, PARKED_EVENTS, ParkedEvent, ParkedStatus};
use crate::reactor::command_id;
use crate::store::{Checkpoint, EventQuery, Store, StoreError};
use crate::subscription::{Start, Subscription, Trouble};
use crate::time::Timestamp;

/// What becomes of an event that a consumer cannot deal with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The consumer waits before it until somebody decides: nothing is missed.
    #[default]
    Stop,
    /// The consumer goes on without it, and it waits in the table of parked events.
    Park,
}

/// Makes the event that records that an event was parked, or that a consumer stopped at it.
pub trait Recorder: Send + Sync + fmt::Debug {
    /// The event, or nothing where this need not be remembered. It is appended in the same commit.
    fn record(&self, parked: &ParkedEvent, now: Timestamp) -> Option<NewEvent>;
}

/// How a consumer goes through the log.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// What it wants of the log; the range and the direction are its own.
    pub query: EventQuery,
    /// What becomes of an event whose type it does not know.
    pub on_unknown: Policy,
    /// What becomes of an event that it cannot deal with for another reason.
    pub on_poison: Policy,
    /// After how many events without effects the checkpoint is moved all the same.
    pub checkpoint_every: u32,
    /// What records that events are parked.
    pub recorder: Option<Arc<dyn Recorder>>,
}

impl ConsumerOptions {
    /// Everything of a tenant; both policies stop.
    pub const fn new(tenant: TenantId) -> Self {
        Self {
            query: EventQuery::all(tenant),
            on_unknown: Policy::Stop,
            on_poison: Policy::Stop,
            checkpoint_every: 500,
            recorder: None,
        }
    }
}

/// What a consumer is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerState {
    /// It deals with events as they come; the lag tells how far behind it is.
    Following,
    /// Something that it needs does not answer; it tries again by itself.
    Retrying(Trouble),
    /// It waits before an event that it cannot deal with, until somebody decides.
    Stuck(ParkedEvent),
    /// It will not go on, for this reason.
    Ended(String),
}

/// Where a consumer stands. How far behind it is and whether it gets on at all are two things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerStatus {
    /// Its name.
    pub name: Arc<str>,
    /// The place that is durable: where it begins after a crash.
    pub checkpoint: i64,
    /// The last event that it has dealt with.
    pub done: i64,
    /// How many places of the log are known to lie behind that.
    pub lag: i64,
    /// How many events it went on without.
    pub parked: i64,
    /// What it is at.
    pub state: ConsumerState,
}

impl ConsumerStatus {
    /// Why it does not get on without somebody's help, or nothing.
    pub fn stuck(&self) -> Option<String> {
        match &self.state {
            ConsumerState::Following | ConsumerState::Retrying(_) => None,
            ConsumerState::Stuck(at) => {
                Some(format!("it is stopped at event {} ({}): {}", at.log_seq, at.event_type, at.reason))
            }
            ConsumerState::Ended(why) => Some(format!("it has ended: {why}")),
        }
    }
}

/// Why a consumer cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    /// Another writer has taken over, and consumes now.
    #[error("another writer has taken over the log")]
    Fenced,
    /// Ledger or store were closed.
    #[error("the log was closed")]
    Closed,
    /// What the database holds is impossible, or the consumer was used wrongly: halt.
    #[error("the consumer cannot go on: {0}")]
    Broken(String),
}

/// Why an event could not be dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Its type is not known.
    Unknown,
    /// It cannot be dealt with, for this reason, however often it is tried.
    Poison(String),
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The event.
    pub event: RecordedEvent,
    /// What is known of earlier attempts, where it failed before.
    pub failed: Option<ParkedEvent>,
}

const BACKOFF: Duration = Duration::from_millis(100);

/// A consumer: what it acknowledged it never gets again, and everything else it gets.
#[derive(Debug)]
pub struct Consumer<S> {
    ledger: Ledger<S>,
    name: Arc<str>,
    options: ConsumerOptions,
    subscription: Subscription<S>,
    /// Of one page at most; none is dealt with.
    pending: VecDeque<RecordedEvent>,
    current: Option<Delivery>,
    is_loaded: bool,
    checkpoint: Checkpoint,
    done: i64,
    /// Events that were dealt with and that the checkpoint does not cover yet.
    uncovered: u32,
    /// The event before which it is stopped.
    stopped_at: Option<ParkedEvent>,
    parked: i64,
    status: watch::Sender<ConsumerStatus>,
}

impl<S: Store> Consumer<S> {
    /// A consumer of a ledger's log, which takes up where the one of that name left off. Two of one name
    /// at once get in each other's way: each loses what the other has acknowledged.
    pub fn new(ledger: &Ledger<S>, name: &str, options: ConsumerOptions) -> Self {
        let name: Arc<str> = name.into();
        let subscription = ledger.subscribe(Start::Origin, options.query.clone());
        let status = ConsumerStatus {
            name: Arc::clone(&name),
            checkpoint: 0,
            done: 0,
            lag: 0,
            parked: 0,
            state: ConsumerState::Following,
        };
        Self {
            ledger: ledger.clone(),
            name,
            options,
            subscription,
            pending: VecDeque::new(),
            current: None,
            is_loaded: false,
            checkpoint: Checkpoint { log_seq: 0, generation: 1 },
            done: 0,
            uncovered: 0,
            stopped_at: None,
            parked: 0,
            status: watch::channel(status).0,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands, now and whenever that changes.
    pub fn status(&self) -> watch::Receiver<ConsumerStatus> {
        self.status.subscribe()
    }

    /// The id of what is done about an event under this name: the same however often it is delivered.
    pub fn command_id(&self, event: &RecordedEvent) -> uuid::Uuid {
        command_id(&self.name, event)
    }

    /// The next event, the same again until it is acknowledged or has failed; waits for it, and for a
    /// database that does not answer, and while it is stopped.
    ///
    /// # Errors
    /// See [`ConsumerError`]. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Delivery, ConsumerError> {
        loop {
            if let Some(current) = &self.current {
                return Ok(current.clone());
            }
            match self.advance().await {
                Ok(()) => {}
                Err(StoreError::Unavailable(source)) => self.pause(source.to_string()).await,
                Err(StoreError::Closed) => return Err(self.end(ConsumerError::Closed)),
                Err(other) => return Err(self.end(ConsumerError::Broken(other.to_string()))),
            }
        }
    }

    /// One turn: something is due afterwards, or it was waited for.
    async fn advance(&mut self) -> Result<(), StoreError> {
        if !self.is_loaded {
            return self.load().await;
        }
        if self.pending.is_empty() && self.parked > 0 && self.take_up_retry().await? {
            return Ok(());
        }
        let Some(next) = self.pending.front().cloned() else { return self.fetch().await };
        if self.stopped_at.as_ref().is_none_or(|at| at.log_seq != next.log_seq) {
            self.deliver(next, None);
            return Ok(());
        }
        // It does not read on, but how far it falls behind is to be seen; and what is decided from here on wakes it.
        self.subscription.look().await?;
        let at = parking::parked_event(self.ledger.store().as_ref(), self.tenant(), &self.name, next.log_seq);
        match at.await? {
            Some(at) if at.status == ParkedStatus::Skipped => {
                tracing::info!(consumer = %self.name, log_seq = at.log_seq, "an event is skipped, as was decided");
                self.stopped_at = None;
                self.pass(next.log_seq);
            }
            Some(at) if at.status != ParkedStatus::Retrying => {
                self.stopped_at = Some(at.clone());
                self.tell(ConsumerState::Stuck(at));
                self.subscription.wait().await;
            }
            at => self.deliver(next, at),
        }
        Ok(())
    }

    fn deliver(&mut self, event: RecordedEvent, failed: Option<ParkedEvent>) {
        self.current = Some(Delivery { event, failed });
        self.tell(ConsumerState::Following);
    }

    async fn fetch(&mut self) -> Result<(), StoreError> {
        if let Some(page) = self.subscription.attempt().await? {
            self.pending.extend(page);
        }
        self.tell(match self.subscription.trouble() {
            Some(trouble) => ConsumerState::Retrying(trouble.clone()),
            None => ConsumerState::Following,
        });
        Ok(())
    }

    /// Takes up where the consumer of that name left off.
    async fn load(&mut self) -> Result<(), StoreError> {
        let (store, tenant) = (Arc::clone(self.ledger.store()), self.tenant());
        // The rows are read status by status: none may change its own meanwhile and be counted twice.
        let _deciding = self.ledger.parking().await;
        let checkpoint = store.checkpoint(tenant, &self.name).await?;
        let checkpoint = checkpoint.unwrap_or(Checkpoint { log_seq: 0, generation: 1 });
        // What it went on without lies before the checkpoint; what it is stopped at, behind.
        let place = checkpoint.log_seq;
        self.stopped_at = parking::first_behind(store.as_ref(), tenant, &self.name, place).await?;
        let open = parking::open_events(store.as_ref(), tenant, &self.name).await?;
        let parked = open.iter().filter(|parked| parked.log_seq <= place).count();
        self.parked = i64::try_from(parked).unwrap_or(i64::MAX);
        self.subscription =
            self.ledger.subscribe(Start::After(checkpoint.log_seq), self.options.query.clone());
        self.pending.clear();
        self.current = None;
        (self.checkpoint, self.done, self.uncovered) = (checkpoint, checkpoint.log_seq, 0);
        self.is_loaded = true;
        Ok(())
    }

    /// Delivers a parked event that somebody wants tried again; answers whether there was one.
    async fn take_up_retry(&mut self) -> Result<bool, StoreError> {
        let (store, tenant) = (Arc::clone(self.ledger.store()), self.tenant());
        let Some(parked) = parking::next_retry(store.as_ref(), tenant, &self.name).await? else {
            return Ok(false);
        };
        let at = parked.log_seq;
        let query = EventQuery { after: at - 1, up_to: at, ..EventQuery::all(tenant) };
        let event = store.read(&query).await?.events.into_iter().next();
        let event =
            event.ok_or_else(|| StoreError::Broken(format!("the parked event {at} is not in the log")))?;
        self.deliver(event, Some(parked));
        Ok(true)
    }

    /// Acknowledges the delivered event: what is done about it and the checkpoint become durable together.
    ///
    /// Effects that were appended before (an earlier answer was lost) count as done. After `Conflict`,
    /// `Refused` or `Mismatch` nothing was done, and the event stays delivered.
    ///
    /// # Errors
    /// `Unavailable` when it is not known whether it was acknowledged: acknowledge again, with the same
    /// effects. The others end the consumer.
    pub async fn acknowledge(&mut self, effects: Append) -> Result<Outcome, AppendError> {
        let delivery = self.delivered()?;
        let at = delivery.event.log_seq;
        let is_live = at > self.checkpoint.log_seq;
        let nothing = Outcome::Appended(Appended { events: Vec::new(), streams: Vec::new() });
        if is_live
            && delivery.failed.is_none()
            && effects.is_empty()
            && self.uncovered + 1 < self.options.checkpoint_every
        {
            self.pass(at);
            return Ok(nothing);
        }
        let mut request = effects;
        // Nobody decides about the event meanwhile.
        let mut _deciding = None;
        if let Some(failed) = delivery.failed {
            _deciding = Some(self.ledger.parking().await);
            if !self.is_still_wanted(&failed).await? {
                self.current = None;
                return Ok(nothing);
            }
            request.rows.push(row_of(&failed.dealt_with()));
        }
        if is_live {
            request.checkpoints.push(self.move_to(at));
        }
        let outcome = self.append(request).await?;
        match outcome {
            Outcome::Appended(_) if is_live => self.settle(at),
            Outcome::Appended(_) => self.forget_parked(),
            _ => {}
        }
        Ok(outcome)
    }

    /// Says that the delivered event cannot be dealt with; the policy says what becomes of it. It is listed
    /// once, however often it fails.
    ///
    /// # Errors
    /// As [`Consumer::acknowledge`].
    pub async fn fail(&mut self, failure: &Failure) -> Result<Policy, AppendError> {
        let delivery = self.delivered()?;
        let event = &delivery.event;
        let (policy, reason) = match failure {
            Failure::Unknown => {
                (self.options.on_unknown, format!("the event type {} is unknown", event.event_type))
            }
            Failure::Poison(reason) => (self.options.on_poison, reason.clone()),
        };
        let is_live = event.log_seq > self.checkpoint.log_seq;
        let policy = if is_live { policy } else { Policy::Park };
        let status = if policy == Policy::Stop { ParkedStatus::Stopped } else { ParkedStatus::Parked };
        let _deciding = self.ledger.parking().await;
        let now = self.ledger.now();
        let is_first = delivery.failed.is_none();
        let parked = match delivery.failed {
            Some(failed) if self.is_still_wanted(&failed).await? => failed.failed_again(status, &reason),
            Some(_) => {
                self.current = None;
                return Ok(policy);
            }
            None => ParkedEvent::first(&self.name, event, status, &reason, now),
        };
        let mut request = Append { rows: vec![row_of(&parked)], ..Append::default() };
        if is_live && policy == Policy::Park {
            request.checkpoints.push(self.move_to(event.log_seq));
        } else if is_live && self.uncovered > 0 {
            request.checkpoints.push(self.move_to(self.done));
        }
        if is_first {
            request.events.extend(self.record(&parked, event, now));
        }
        let outcome = match self.append(request.clone()).await? {
            Outcome::Appended(done) => Outcome::Appended(done),
            Outcome::CheckpointMoved { .. } | Outcome::CheckpointAhead { .. } => return Ok(policy),
            other => {
                // What was to be recorded is no reason not to park.
                tracing::warn!(?other, consumer = %self.name, "that an event is parked cannot be recorded");
                self.append(Append { events: Vec::new(), ..request }).await?
            }
        };
        if !matches!(outcome, Outcome::Appended(_)) {
            return Ok(policy);
        }
        self.note_failure(parked, is_first, is_live);
        Ok(policy)
    }

    fn note_failure(&mut self, parked: ParkedEvent, is_first: bool, is_live: bool) {
        let (at, is_stopped) = (parked.log_seq, parked.status == ParkedStatus::Stopped);
        tracing::error!(
            consumer = %self.name, log_seq = at, event_type = %parked.event_type, reason = %parked.reason,
            "{}", if is_stopped { "the consumer is stopped at an event" } else { "an event is parked" }
        );
        if is_first {
            metrics::counter!("eventlog_parked_total", "consumer" => self.name.to_string()).increment(1);
        }
        if is_stopped {
            self.current = None;
            (self.checkpoint.log_seq, self.uncovered) = (self.done, 0);
            self.stopped_at = Some(parked.clone());
            self.tell(ConsumerState::Stuck(parked));
        } else if is_live {
            self.parked += 1;
            self.settle(at);
        } else {
            self.current = None;
            self.tell(ConsumerState::Following);
        }
    }

    /// Makes durable how far it has come.
    ///
    /// # Errors
    /// As [`Consumer::acknowledge`].
    pub async fn flush(&mut self) -> Result<(), AppendError> {
        if self.uncovered > 0 {
            let request = Append { checkpoints: vec![self.move_to(self.done)], ..Append::default() };
            if matches!(self.append(request).await?, Outcome::Appended(_)) {
                (self.checkpoint.log_seq, self.uncovered) = (self.done, 0);
                let state = self.status.borrow().state.clone();
                self.tell(state);
            }
        }
        Ok(())
    }

    /// Appends; what an earlier attempt has made durable counts as made.
    async fn append(&mut self, request: Append) -> Result<Outcome, AppendError> {
        let again = Append {
            checkpoints: request.checkpoints.clone(),
            rows: request.rows.clone(),
            ..Append::default()
        };
        let mut outcome = self.ledger.append(request).await;
        if let Ok(Outcome::Duplicate { .. }) = outcome {
            outcome = self.ledger.append(again).await;
        }
        match outcome {
            Ok(Outcome::CheckpointMoved { .. } | Outcome::CheckpointAhead { .. }) => {
                // Our own lost answer, or somebody else of our name: the database knows.
                self.is_loaded = false;
                self.current = None;
            }
            Err(AppendError::Fenced) => drop(self.end(ConsumerError::Fenced)),
            Err(AppendError::Closed) => drop(self.end(ConsumerError::Closed)),
            Err(AppendError::Broken(ref what)) => drop(self.end(ConsumerError::Broken(what.clone()))),
            Ok(_) | Err(AppendError::Unavailable(_)) => {}
        }
        outcome
    }

    fn tenant(&self) -> TenantId {
        self.ledger.tenant()
    }

    fn delivered(&self) -> Result<Delivery, AppendError> {
        let nothing = || AppendError::Broken("nothing was delivered that could be dealt with".to_owned());
        self.current.clone().ok_or_else(nothing)
    }

    fn move_to(&self, to: i64) -> CheckpointMove {
        let Checkpoint { log_seq: from, generation } = self.checkpoint;
        CheckpointMove { name: self.name.to_string(), from, to, generation }
    }

    /// Whether nobody has decided otherwise since an event was delivered again.
    async fn is_still_wanted(&self, failed: &ParkedEvent) -> Result<bool, AppendError> {
        let store = self.ledger.store().as_ref();
        let now = parking::parked_event(store, self.tenant(), &self.name, failed.log_seq).await;
        let now = now.map_err(|error| AppendError::Unavailable(error.to_string()))?;
        Ok(now.is_some_and(|now| now.status == ParkedStatus::Retrying))
    }

    fn record(&self, parked: &ParkedEvent, event: &RecordedEvent, now: Timestamp) -> Option<NewEvent> {
        let mut recorded = self.options.recorder.as_ref()?.record(parked, now)?;
        if recorded.dedupe_key.is_none() {
            let key = format!("{}/{}", self.command_id(event), parked.status);
            recorded.dedupe_key = DedupeKey::new(key).ok();
        }
        recorded.trace.causation_id = recorded.trace.causation_id.or(Some(event.event_id));
        Some(recorded)
    }

    /// An event was dealt with, without a commit.
    fn pass(&mut self, at: i64) {
        self.uncovered += 1;
        self.leave_behind(at);
    }

    /// An event was dealt with, and the checkpoint covers it.
    fn settle(&mut self, at: i64) {
        (self.checkpoint.log_seq, self.uncovered) = (at, 0);
        self.leave_behind(at);
    }

    fn leave_behind(&mut self, at: i64) {
        self.done = at;
        self.current = None;
        self.stopped_at.take_if(|stopped| stopped.log_seq <= at);
        self.pending.pop_front_if(|first| first.log_seq <= at);
        self.tell(ConsumerState::Following);
    }

    fn forget_parked(&mut self) {
        self.parked -= 1;
        self.current = None;
        self.tell(ConsumerState::Following);
    }

    fn lag(&self) -> i64 {
        match self.pending.front() {
            Some(next) => self.subscription.head() - next.log_seq + 1,
            None => self.subscription.lag(),
        }
    }

    fn tell(&self, state: ConsumerState) {
        let status = ConsumerStatus {
            name: Arc::clone(&self.name),
            checkpoint: self.checkpoint.log_seq,
            done: self.done,
            lag: self.lag(),
            parked: self.parked,
            state,
        };
        let gauge = |name: &'static str, value: i64| {
            let value = i32::try_from(value).unwrap_or(i32::MAX);
            metrics::gauge!(name, "consumer" => self.name.to_string()).set(value);
        };
        if *self.status.borrow() != status {
            gauge("eventlog_consumer_lag", status.lag);
            gauge("eventlog_consumer_parked", status.parked);
            gauge("eventlog_consumer_stuck", i64::from(status.stuck().is_some()));
            self.status.send_replace(status);
        }
    }

    /// Says that what it needs does not answer, and waits for a moment.
    pub(crate) async fn pause(&mut self, reason: String) {
        let attempts = match &self.status.borrow().state {
            ConsumerState::Retrying(trouble) => trouble.attempts.saturating_add(1),
            _ => 1,
        };
        self.tell(ConsumerState::Retrying(Trouble { attempts, reason }));
        tokio::time::sleep(BACKOFF.saturating_mul(1 << attempts.min(5))).await;
    }

    pub(crate) fn end(&mut self, error: ConsumerError) -> ConsumerError {
        self.tell(ConsumerState::Ended(error.to_string()));
        error
    }
}

impl<S> Drop for Consumer<S> {
    fn drop(&mut self) {
        self.status.send_if_modified(|status| {
            let is_at_work = !matches!(status.state, ConsumerState::Ended(_));
            if is_at_work {
                status.state = ConsumerState::Ended("nobody runs it".to_owned());
            }
            is_at_work
        });
    }
}

fn row_of(parked: &ParkedEvent) -> TableRows {
    TableRows { table: &PARKED_EVENTS, rows: vec![parked.to_row()] }
}
