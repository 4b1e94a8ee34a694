//! The storage contract: what every backend promises, in a handful of set-based methods.
//!
//! No transaction type and no generics: domain code computes a [`Batch`], and [`Store::commit`] makes
//! it durable whole, or not at all.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::batch::{Batch, Head, Lease, Receipt, TableRows};
use crate::event::{EventId, Fingerprint, RecordedEvent};
use crate::names::{DedupeKey, EventType, StreamKey, TenantId, WriterId};
use crate::rebuild::Generation;
use crate::snapshot::Snapshot;
use crate::table::{Row, Table, Value};
use crate::time::Timestamp;

/// What a backend says beneath an error.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a read, or a small write beside the log, did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The tenant was never registered: register it, or correct its id.
    #[error("the tenant {0} is not registered in this database")]
    UnknownTenant(TenantId),
    /// The store was closed: open it again.
    #[error("the store is closed")]
    Closed,
    /// The database did not answer: try again later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),
    /// The content is impossible: halt, look at the database.
    #[error("the database holds what cannot be: {0}")]
    Broken(String),
}

/// Why a lease was not given.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// Somebody else holds it and renews it: wait.
    #[error("the log of the tenant is being written by {writer}")]
    Held {
        /// Who holds it.
        writer: String,
        /// Until when, unless it is renewed.
        until: Option<Timestamp>,
    },
    /// As the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a batch is not known to be durable: one variant for each thing that a caller does.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The log, a key, a stream or a checkpoint stands elsewhere than the batch says: reload and decide again.
    #[error("the log moved since the batch was computed")]
    Stale,
    /// Another writer has a newer epoch: stop writing.
    #[error("another writer has taken over the log")]
    Fenced,
    /// The outcome is unknown: acquire again and compare the head.
    #[error("the outcome of the commit is unknown")]
    Unavailable(#[source] Source),
    /// The database refused content that must be acceptable: halt.
    #[error("the batch cannot be stored: {0}")]
    Broken(String),
}

/// A dedupe key that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupeHit {
    /// The key.
    pub key: DedupeKey,
    /// What the first delivery had.
    pub fingerprint: Fingerprint,
    /// The event that it first produced, and its place; a command's own key has none.
    pub event: Option<(EventId, i64)>,
}

/// The version of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamVersion {
    /// The stream.
    pub stream: StreamKey,
    /// Its last event's `seq`.
    pub last_seq: i64,
}

/// Where a consumer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The place of the last event that it dealt with.
    pub log_seq: i64,
    /// The generation of the tables that it fills.
    pub generation: i64,
}

/// Which way a read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// By rising `log_seq`.
    #[default]
    Forward,
    /// By falling `log_seq`.
    Backward,
}

/// Which events to read. All conditions must hold; the limit applies after them.
#[derive(Debug, Clone, PartialEq)]
pub struct EventQuery {
    /// Whose log.
    pub tenant: TenantId,
    /// Only places above this one.
    pub after: i64,
    /// Only places up to and including this one.
    pub up_to: i64,
    /// Which way.
    pub direction: Direction,
    /// At most so many events.
    pub limit: usize,
    /// At most so many bytes of payloads, but the first event whatever it has; none: any number.
    pub bytes_max: Option<u64>,
    /// Only this stream.
    pub stream: Option<StreamKey>,
    /// Only streams whose key begins with this text, taken literally.
    pub stream_prefix: Option<String>,
    /// Only these types; none given: all.
    pub event_types: Vec<EventType>,
    /// Only this trace.
    pub trace_id: Option<Uuid>,
    /// Only what this event caused directly.
    pub causation_id: Option<EventId>,
    /// Only what this command asked for.
    pub command_id: Option<Uuid>,
    /// Only this workflow.
    pub workflow_id: Option<Uuid>,
    /// Only events of a stream `<category>:<id>`, or whose payload names the id in a field of its top level.
    pub entity_id: Option<String>,
    /// Only what happened at or after this instant.
    pub occurred_from: Option<Timestamp>,
    /// Only what happened before this instant.
    pub occurred_before: Option<Timestamp>,
}

impl EventQuery {
    /// Every event of a tenant, forward.
    pub const fn all(tenant: TenantId) -> Self {
        Self {
            tenant,
            after: 0,
            up_to: i64::MAX,
            direction: Direction::Forward,
            limit: 1_000,
            bytes_max: None,
            stream: None,
            stream_prefix: None,
            event_types: Vec::new(),
            trace_id: None,
            causation_id: None,
            command_id: None,
            workflow_id: None,
            entity_id: None,
            occurred_from: None,
            occurred_before: None,
        }
    }

    /// Every event of a stream, forward.
    pub fn stream(tenant: TenantId, stream: StreamKey) -> Self {
        Self { stream: Some(stream), ..Self::all(tenant) }
    }

    /// Whether only the range, the direction and the limit are set: a plain read of the log.
    pub fn is_plain(&self) -> bool {
        *self
            == Self {
                after: self.after,
                up_to: self.up_to,
                direction: self.direction,
                limit: self.limit,
                bytes_max: self.bytes_max,
                ..Self::all(self.tenant)
            }
    }
}

/// What a read found, in one snapshot of the database.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The events.
    pub events: Vec<RecordedEvent>,
    /// Where the log ended in the same snapshot: a forward reader whose page was not full may move here.
    pub head: i64,
    /// The version of the queried stream in the same snapshot; nothing when it is unknown or none was asked for.
    pub stream_version: Option<i64>,
}

/// Which rows to read, always by rising key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowQuery {
    /// Only these keys; none given: all.
    pub keys: Vec<Vec<Value>>,
    /// Only rows in which these columns have these values.
    pub filters: Vec<(&'static str, Value)>,
    /// Only rows behind this key.
    pub after: Option<Vec<Value>>,
    /// At most so many rows.
    pub limit: Option<usize>,
}

impl RowQuery {
    /// Every row.
    pub fn all() -> Self {
        Self::default()
    }

    /// The rows under these keys, as many of them as there are.
    pub fn keys(keys: Vec<Vec<Value>>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// The rows in which a column has a value.
    pub fn filter(column: &'static str, value: Value) -> Self {
        Self { filters: vec![(column, value)], ..Self::default() }
    }
}

/// Rows of several tables and the head, all of one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    /// Where the log ended then.
    pub head: Head,
    /// What each of the questions found, in their order.
    pub rows: Vec<Vec<Row>>,
}

/// A backend.
///
/// # Contract
/// `commit` is one durable transaction; what it answered `Ok` for survives a crash, what it answered
/// otherwise (but for `Unavailable`) left nothing. Reads see whole commits only. Dropping a future
/// leaves no transaction open.
///
/// A tenant that nobody registered has nothing: `lookup`, `streams`, `rows`, `checkpoint` and `snapshot`
/// find nothing of it, `commit`, `renew` and `release` are `Fenced`, and only what cannot be answered without
/// its log is `UnknownTenant`: `acquire`, `head`, `capture` and `read`. In the same way a question with a value that no
/// backend keeps (a text with NUL, a decimal that is not normalized) finds nothing, and is no error.
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// Makes a tenant known; a known one stays as it is.
    fn register(&self, tenant: TenantId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The tenants that are known, by id.
    fn tenants(&self) -> impl Future<Output = Result<Vec<TenantId>, StoreError>> + Send;

    /// Becomes the writer of a tenant's log: bumps the epoch, so that an earlier writer is fenced.
    ///
    /// A lease that another writer holds is respected until `lease_until` by the database's clock
    /// where several processes can reach the database; the same writer may acquire again at once.
    fn acquire(
        &self,
        tenant: TenantId,
        writer: &WriterId,
        ttl: Duration,
    ) -> impl Future<Output = Result<Lease, AcquireError>> + Send;

    /// Holds the lease for `ttl` from now, by the database's clock.
    fn renew(&self, lease: &Lease, ttl: Duration) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Gives the lease up, so that another writer need not wait.
    fn release(&self, lease: &Lease) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Makes a batch durable, whole or not at all.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<Receipt, CommitError>> + Send;

    /// Which of the keys are taken.
    fn lookup(
        &self,
        tenant: TenantId,
        keys: &[DedupeKey],
    ) -> impl Future<Output = Result<Vec<DedupeHit>, StoreError>> + Send;

    /// The versions of those streams that exist.
    fn streams(
        &self,
        tenant: TenantId,
        keys: &[StreamKey],
    ) -> impl Future<Output = Result<Vec<StreamVersion>, StoreError>> + Send;

    /// Events.
    fn read(&self, query: &EventQuery) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// Rows of a table, by rising key.
    fn rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Rows of several tables, by rising key, in one snapshot of the database together with the head: what
    /// a fold of the log up to that head gives.
    fn capture(
        &self,
        tenant: TenantId,
        queries: &[(&'static Table, RowQuery)],
    ) -> impl Future<Output = Result<Capture, StoreError>> + Send;

    /// Where the log ends.
    fn head(&self, tenant: TenantId) -> impl Future<Output = Result<Head, StoreError>> + Send;

    /// Where a consumer stands; nothing before its first move.
    fn checkpoint(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> impl Future<Output = Result<Option<Checkpoint>, StoreError>> + Send;

    /// The newest snapshot of a scope that contains nothing after `up_to`.
    fn snapshot(
        &self,
        tenant: TenantId,
        scope: &str,
        scope_id: &str,
        up_to: i64,
    ) -> impl Future<Output = Result<Option<Snapshot>, StoreError>> + Send;

    /// Begins to fill another generation of some tables beside the live one, or goes on with one that was cut
    /// off: answers the place up to which that one was filled.
    ///
    /// Nothing where there was none, or one of other tables or of another number: what was left is then gone.
    /// Nobody who reads the live rows sees anything of it. Other tenants' rows are not touched.
    fn begin_rebuild(
        &self,
        next: &Generation,
    ) -> impl Future<Output = Result<Option<i64>, CommitError>> + Send;

    /// Puts rows into the next generation and moves its place, in one transaction; needs no lease.
    ///
    /// `Stale` when it stands elsewhere than at `from` (0: it was just begun): begin again.
    fn fill(
        &self,
        next: &Generation,
        rows: &[TableRows],
        from: i64,
        to: i64,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Rows of the next generation of a table, which a rebuild has begun, by rising key.
    fn shadow_rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Puts the next generation in the place of the live rows, in one transaction: readers see the old rows or
    /// the new ones. The checkpoint under the name of each table then has the place and the number.
    ///
    /// `Stale` when the log ends elsewhere than at `head`, or the rebuild stands elsewhere: catch up, and try
    /// again; `Fenced` as in a commit.
    fn swap(
        &self,
        next: &Generation,
        lease: &Lease,
        head: Head,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Gives a rebuild up and leaves nothing of it; one that was never begun is no error.
    fn abandon_rebuild(&self, next: &Generation) -> impl Future<Output = Result<(), CommitError>> + Send;
    /// Hints that a tenant's log may have grown: the receiver changes when it has, as far as that is noticed.
    ///
    /// A hint may be missing or false, and none comes from another process unless the backend says so:
    /// whoever waits for one asks the log by itself now and then.
    fn doorbell(&self, tenant: TenantId) -> watch::Receiver<i64>;

    /// Waits for what is under way and lets go of the database; later calls answer `Closed`.
    fn close(&self) -> impl Future<Output = ()> + Send;
}
