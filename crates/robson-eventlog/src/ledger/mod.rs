//! The ledger: the one writer of a tenant's log.
//!
//! Callers hand in requests; one task drains them into one batch per durable commit and answers each
//! caller after it. A conflict is one caller's answer and never aborts its neighbours.

mod draft;
mod guess;
mod work;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::batch::{CheckpointMove, Head, Lease, TableRows};
use crate::command::CommandRecord;
use crate::event::{EventId, NewEvent};
use crate::names::{DedupeKey, StreamKey, TenantId, WriterId};
use crate::projection::Projection;
use crate::snapshot::Snapshot;
use crate::store::{AcquireError, CommitError, EventQuery, Store, StoreError, StreamVersion};
use crate::subscription::{Start, Subscription};
use crate::time::{Clock, Timestamp};
use crate::verify;
use writer::Writer;

/// What the caller knows of a stream's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: any version will do.
    Any,
    /// The stream does not exist; the same as `Exact(0)`.
    NoStream,
    /// The stream's last event has this `seq`.
    Exact(i64),
    /// The stream exists.
    Exists,
}

impl Expected {
    /// Whether a stream of version `actual` (0: none) is as expected.
    pub const fn holds(self, actual: i64) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual == 0,
            Self::Exact(version) => actual == version,
            Self::Exists => actual > 0,
        }
    }
}

/// One request: it is appended whole, over however many streams, or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Append {
    /// The events, in order. None: nothing happens and no place is used up.
    pub events: Vec<NewEvent>,
    /// The versions of streams that the decision rests on, written or only read.
    pub expected: Vec<(StreamKey, Expected)>,
    /// The command that the events answer.
    pub command: Option<CommandRecord>,
    /// The checkpoints that move with the events.
    pub checkpoints: Vec<CheckpointMove>,
    /// The snapshots that are kept.
    pub snapshots: Vec<Snapshot>,
    /// Rows of tables that no projection of the ledger owns, such as a consumer's own; of two rows under one
    /// key the last is kept.
    pub rows: Vec<TableRows>,
}

impl Append {
    /// Events without expectations.
    pub fn events(events: Vec<NewEvent>) -> Self {
        Self { events, ..Self::default() }
    }

    /// Whether it changes nothing: no event, no command, no snapshot, no row and no checkpoint.
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.command.is_none()
            && self.checkpoints.is_empty()
            && self.snapshots.is_empty()
            && self.rows.is_empty()
    }

    /// Adds what is expected of a stream.
    #[must_use]
    pub fn expecting(mut self, stream: StreamKey, expected: Expected) -> Self {
        self.expected.push((stream, expected));
        self
    }

    /// The texts that no constructor has checked.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let actors = self.events.iter().filter_map(|event| event.actor.id.as_deref());
        let checkpoints = self.checkpoints.iter().map(|moved| moved.name.as_str());
        let commands = self.command.iter().flat_map(|command| {
            [Some(command.command_type.as_str()), Some(&command.request_hash), command.error.as_deref()]
        });
        let snapshots = self.snapshots.iter().flat_map(|snapshot| {
            let compression = snapshot.compression.as_deref();
            [
                Some(snapshot.scope.as_str()),
                Some(&snapshot.scope_id),
                Some(&snapshot.snapshot_type),
                compression,
            ]
        });
        actors.chain(checkpoints).chain(commands.flatten()).chain(snapshots.flatten())
    }
}

/// One event's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventReceipt {
    /// Its id.
    pub event_id: EventId,
    /// Its place in the log.
    pub log_seq: i64,
    /// Whether this request appended it, or an earlier one had.
    pub is_new: bool,
}

/// What a request appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// One receipt for each event of the request, in its order.
    pub events: Vec<EventReceipt>,
    /// The versions of the streams that were written.
    pub streams: Vec<StreamVersion>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable.
    Appended(Appended),
    /// Every event (or the command) had been appended before: treat as done.
    Duplicate {
        /// The events that were appended then; empty for a command.
        first: Vec<EventReceipt>,
    },
    /// A dedupe key was used before for something else: a bug, or two causes with one id.
    Mismatch {
        /// The key.
        key: DedupeKey,
    },
    /// A stream is not as expected: reload and decide again.
    Conflict {
        /// The stream.
        stream: StreamKey,
        /// What the caller expected.
        expected: Expected,
        /// Its version; 0 when it does not exist.
        actual: i64,
    },
    /// A checkpoint stands elsewhere than the consumer believes, behind its target: read again from there.
    CheckpointMoved {
        /// The consumer.
        name: String,
        /// Where it believed to stand.
        expected: i64,
        /// Where it stands.
        actual: i64,
    },
    /// A checkpoint stands at or past the target already: treat as done.
    CheckpointAhead {
        /// The consumer.
        name: String,
        /// Where it stands.
        actual: i64,
    },
    /// A fold refused an event as a decision that breaks a rule: decide again.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Why a request has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another writer has taken over: stop.
    #[error("another writer has taken over the log")]
    Fenced,
    /// It is not known whether the request is durable: ask by its dedupe keys before sending it again.
    #[error("the database is unavailable, and whether the append is durable is unknown: {0}")]
    Unavailable(String),
    /// The content of database or request is impossible: halt.
    #[error("the log is broken: {0}")]
    Broken(String),
    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,
}

/// Why a ledger did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The lease was not given.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
    /// The log's end is not what its head says: verify before writing.
    #[error("the end of the log does not match its head: {0}")]
    Damaged(String),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Acquire(AcquireError::Store(error))
    }
}

/// How a ledger is opened.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Whose log it is.
    pub tenant: TenantId,
    /// Who writes.
    pub writer: WriterId,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// What ids are made from, with the tenant and the epoch.
    pub seed: u64,
    /// What is folded inside the append.
    pub projections: Vec<Arc<dyn Projection>>,
    /// How long the lease holds without renewal; it is renewed three times as often.
    pub lease_ttl: Duration,
    /// How long an unknown outcome is looked into before the callers are told so.
    pub patience: Duration,
}

impl LedgerOptions {
    /// Options with no projections, seed 0, a lease of 10 s and a patience of 30 s.
    pub fn new(tenant: TenantId, writer: WriterId, clock: Arc<dyn Clock>) -> Self {
        Self {
            tenant,
            writer,
            clock,
            seed: 0,
            projections: Vec::new(),
            lease_ttl: Duration::from_secs(10),
            patience: Duration::from_secs(30),
        }
    }
}

/// Most requests in one batch.
const BATCH_REQUESTS_MAX: usize = 256;
/// Most payload bytes in one batch, unless one request alone has more.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How often a subscription of the writer itself asks without being woken.
const POLL_AS_WRITER: Duration = Duration::from_secs(1);

type Reply = oneshot::Sender<Result<Outcome, AppendError>>;

enum Message {
    Append(Box<Append>, Reply),
    Pause(oneshot::Sender<AtRest>),
    Close(oneshot::Sender<()>),
}

/// The writer at rest: what it had is durable, and it writes nothing until this is dropped. Then it reads
/// its rows anew.
#[derive(Debug)]
pub(crate) struct AtRest {
    /// What it writes under.
    pub(crate) lease: Lease,
    /// Where the log ends.
    pub(crate) head: Head,
    _until: oneshot::Sender<()>,
}

/// The lease as the daemon sees it: valid until a point of its own monotonic clock.
#[derive(Debug)]
struct LeaseState {
    lease: Lease,
    valid_until: Instant,
    is_fenced: bool,
    /// Whether the writer has stopped, for whatever reason: nobody writes under the lease any more.
    is_over: bool,
}

/// A handle to the writer of a tenant's log; clones share it.
#[derive(Debug)]
pub struct Ledger<S> {
    store: Arc<S>,
    tenant: TenantId,
    queue: mpsc::Sender<Message>,
    head: watch::Receiver<i64>,
    lease: Arc<Mutex<LeaseState>>,
    renewal: Arc<JoinHandle<()>>,
    clock: Arc<dyn Clock>,
    parking: Arc<AsyncMutex<()>>,
}

impl LeaseState {
    fn replace(&mut self, lease: Lease, valid_until: Instant) {
        self.lease = lease;
        self.valid_until = valid_until;
    }
}

impl<S> Clone for Ledger<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            tenant: self.tenant,
            queue: self.queue.clone(),
            head: self.head.clone(),
            lease: Arc::clone(&self.lease),
            renewal: Arc::clone(&self.renewal),
            clock: Arc::clone(&self.clock),
            parking: Arc::clone(&self.parking),
        }
    }
}

impl<S: Store> Ledger<S> {
    /// Becomes the writer of a tenant's log and starts its writer task.
    ///
    /// # Errors
    /// `Acquire` when somebody else writes or the tenant is unknown, `Damaged` when what was written since
    /// the last verified mark is not what the head and the streams say.
    pub async fn open(store: Arc<S>, options: LedgerOptions) -> Result<Self, OpenError> {
        let asked_at = Instant::now();
        let lease = store.acquire(options.tenant, &options.writer, options.lease_ttl).await?;
        check_tail(store.as_ref(), &lease).await?;
        let (queue, requests) = mpsc::channel(BATCH_REQUESTS_MAX * 4);
        let (head_sender, head) = watch::channel(lease.head.log_seq);
        let state = LeaseState {
            lease: lease.clone(),
            valid_until: asked_at + options.lease_ttl,
            is_fenced: false,
            is_over: false,
        };
        let state = Arc::new(Mutex::new(state));
        let renewal =
            tokio::spawn(renew_until_fenced(Arc::clone(&store), Arc::clone(&state), options.lease_ttl));
        let (tenant, clock) = (options.tenant, Arc::clone(&options.clock));
        let writer = Writer::new(Arc::clone(&store), options, lease, head_sender, Arc::clone(&state));
        tokio::spawn(writer.run(requests));
        let (renewal, parking) = (Arc::new(renewal), Arc::default());
        Ok(Self { store, tenant, queue, head, lease: state, renewal, clock, parking })
    }

    /// Becomes the writer as soon as nobody else is: stands by while another writer holds the lease.
    ///
    /// # Errors
    /// As [`Ledger::open`], but never `Held`.
    pub async fn open_in_turn(store: Arc<S>, options: LedgerOptions) -> Result<Self, OpenError> {
        let pause = (options.lease_ttl / 10).max(Duration::from_millis(20));
        loop {
            match Self::open(Arc::clone(&store), options.clone()).await {
                Err(OpenError::Acquire(AcquireError::Held { writer, .. })) => {
                    tracing::debug!(%writer, "standing by");
                    tokio::time::sleep(pause).await;
                }
                opened => return opened,
            }
        }
    }

    /// Appends a request and answers when it is durable.
    ///
    /// Dropping the future does not take the request back.
    ///
    /// # Errors
    /// See [`AppendError`]; everything that a caller decides on is an [`Outcome`].
    #[tracing::instrument(level = "debug", name = "append", skip_all, fields(events = request.events.len()))]
    pub async fn append(&self, request: Append) -> Result<Outcome, AppendError> {
        let asked_at = Instant::now();
        let (reply, answer) = oneshot::channel();
        let message = Message::Append(Box::new(request), reply);
        self.queue.send(message).await.map_err(|_| self.why_stopped())?;
        let outcome = answer.await.map_err(|_| self.why_stopped())?;
        metrics::histogram!("eventlog_append_seconds").record(asked_at.elapsed());
        outcome
    }

    /// Lets the writer rest once what was queued before is durable.
    pub(crate) async fn pause(&self) -> Result<AtRest, AppendError> {
        let (rest, at_rest) = oneshot::channel();
        self.queue.send(Message::Pause(rest)).await.map_err(|_| self.why_stopped())?;
        at_rest.await.map_err(|_| self.why_stopped())
    }

    fn why_stopped(&self) -> AppendError {
        if locked(&self.lease).is_fenced { AppendError::Fenced } else { AppendError::Closed }
    }

    /// Whose log it is.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The store beneath, for reading.
    pub const fn store(&self) -> &Arc<S> {
        &self.store
    }

    /// The time, by the clock that the ledger was opened with.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Held from reading the row of a parked event to the append that changes it: whoever may write is this
    /// process alone, so nobody else changes it meanwhile.
    pub async fn parking(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.parking).lock_owned().await
    }

    /// Whether the lease surely holds, by this process's monotonic clock: asked right before anything
    /// leaves the process.
    pub fn lease_holds(&self) -> bool {
        let state = locked(&self.lease);
        !state.is_fenced && !state.is_over && Instant::now() < state.valid_until
    }

    /// The epoch of the lease.
    pub fn epoch(&self) -> i64 {
        locked(&self.lease).lease.epoch
    }

    /// The place of the last event that this ledger knows of; changes wake the receiver.
    pub fn head(&self) -> watch::Receiver<i64> {
        self.head.clone()
    }

    /// Events from a place on, then live. Nobody else writes, so the poll is a fallback only.
    pub fn subscribe(&self, start: Start, query: EventQuery) -> Subscription<S> {
        Subscription::new(Arc::clone(&self.store), start, query)
            .woken_by(self.head.clone())
            .polling_every(POLL_AS_WRITER)
    }

    /// Writes what is queued, gives the lease up and stops.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            // The writer may have stopped by itself, which is as good.
            let _ = closed.await;
        }
        self.renewal.abort();
    }
}

impl<S> Drop for Ledger<S> {
    fn drop(&mut self) {
        // The renewal task holds no queue: once the last handle is gone nobody needs the lease.
        if Arc::strong_count(&self.renewal) == 1 {
            self.renewal.abort();
        }
    }
}

fn locked(state: &Mutex<LeaseState>) -> std::sync::MutexGuard<'_, LeaseState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn renew_until_fenced<S: Store>(store: Arc<S>, state: Arc<Mutex<LeaseState>>, ttl: Duration) {
    let mut ticks = tokio::time::interval(ttl.mul_f64(0.3));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let lease = {
            let state = locked(&state);
            if state.is_over {
                return;
            }
            state.lease.clone()
        };
        let asked_at = Instant::now();
        match store.renew(&lease, ttl).await {
            Ok(()) => {
                let mut state = locked(&state);
                if state.lease.epoch == lease.epoch {
                    state.valid_until = asked_at + ttl;
                }
            }
            Err(CommitError::Fenced) => {
                let mut state = locked(&state);
                // The writer may have acquired again meanwhile, after an unknown outcome.
                if state.lease.epoch == lease.epoch {
                    state.is_fenced = true;
                    tracing::error!(epoch = lease.epoch, "the lease was taken over");
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "the lease could not be renewed"),
        }
    }
}

/// Checks what was written since the last verified mark.
async fn check_tail<S: Store>(store: &S, lease: &Lease) -> Result<(), OpenError> {
    let mark = verify::marked(store, lease.tenant).await?;
    let damage = verify::check_tail(store, lease.tenant, lease.head, mark, verify::TAIL_MAX).await?;
    damage.map_or(Ok(()), |damage| Err(OpenError::Damaged(damage.to_string())))
}
