//! The memory backend: the oracle that the databases are compared with, and a log for tests and trials.
//!
//! It makes every check that a database makes, in plain code. It keeps nothing beyond the process, and
//! it has no sessions, no SQL and no other processes: acquiring always takes the lease over.

mod commit;
mod read;
mod rebuild;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use robson_eventlog::{
    AcquireError, Batch, Bells, Capture, Checkpoint, CommitError, DedupeHit, DedupeKey, EventQuery,
    Generation, Head, Lease, Page, Receipt, RecordedEvent, Row, RowQuery, Snapshot, Store, StoreError,
    StreamKey, StreamVersion, Table, TableRows, TenantId, Value, WriterId,
};
use tokio::sync::watch;

use crate::open::Access;
use crate::question;

/// When a commit goes wrong, for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing of it became durable.
    BeforeCommit,
    /// All of it did, but the answer was lost.
    AfterCommit,
}

/// What one tenant has.
#[derive(Debug)]
struct Log {
    head: Head,
    epoch: i64,
    events: BTreeMap<i64, RecordedEvent>,
    taken: BTreeMap<DedupeKey, DedupeHit>,
    streams: BTreeMap<StreamKey, i64>,
    checkpoints: BTreeMap<String, Checkpoint>,
    /// By table name and key; snapshots and commands are tables too.
    tables: BTreeMap<&'static str, TableContent>,
    /// The next generation of tables that are being rebuilt, by table name and key.
    shadows: BTreeMap<&'static str, TableContent>,
}

/// A table's rows by key.
type TableContent = BTreeMap<Vec<Value>, Row>;

impl Log {
    const fn empty() -> Self {
        Self {
            head: Head::EMPTY,
            epoch: 0,
            events: BTreeMap::new(),
            taken: BTreeMap::new(),
            streams: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            tables: BTreeMap::new(),
            shadows: BTreeMap::new(),
        }
    }
}

/// What a tenant has, for tests that tamper.
#[doc(hidden)]
#[derive(Debug)]
pub struct Tampered<'a> {
    /// Where the log ends.
    pub head: &'a mut Head,
    /// The log, by place.
    pub events: &'a mut BTreeMap<i64, RecordedEvent>,
    /// The dedupe keys.
    pub taken: &'a mut BTreeMap<DedupeKey, DedupeHit>,
    /// The versions of the streams.
    pub streams: &'a mut BTreeMap<StreamKey, i64>,
    /// The other tables, by name and key.
    pub tables: &'a mut BTreeMap<&'static str, BTreeMap<Vec<Value>, Row>>,
}

#[derive(Debug, Default)]
struct Content {
    logs: BTreeMap<TenantId, Log>,
    fault: Option<FaultKind>,
    /// Shared by every handle: they are all in this process.
    bells: Bells,
}

/// A handle on a database in memory.
#[derive(Debug)]
pub struct MemoryStore {
    content: Arc<Mutex<Content>>,
    access: Access,
    is_closed: AtomicBool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty database.
    pub fn new() -> Self {
        Self::on(Arc::default(), Access::Write)
    }

    const fn on(content: Arc<Mutex<Content>>, access: Access) -> Self {
        Self { content, access, is_closed: AtomicBool::new(false) }
    }

    /// Another handle on the same database; each is closed by itself.
    pub fn handle(&self, access: Access) -> Self {
        Self::on(Arc::clone(&self.content), access)
    }

    /// Lets the next commit go wrong, for tests.
    pub fn fail_next_commit(&self, fault: FaultKind) {
        self.locked().fault = Some(fault);
    }

    /// Lets a log go on behind a place that it never reached, for tests of large places.
    pub fn move_head(&self, tenant: TenantId, log_seq: i64) {
        if let Some(log) = self.locked().logs.get_mut(&tenant) {
            log.head.log_seq = log_seq;
        }
    }

    /// Changes what a tenant has past every check, for tests that tamper.
    #[doc(hidden)]
    pub fn tamper(&self, tenant: TenantId, change: impl FnOnce(Tampered<'_>)) {
        if let Some(log) = self.locked().logs.get_mut(&tenant) {
            let Log { head, events, taken, streams, tables, .. } = log;
            change(Tampered { head, events, taken, streams, tables });
        }
    }

    fn locked(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_content(&self) -> Result<MutexGuard<'_, Content>, StoreError> {
        if self.is_closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(self.locked()) }
    }

    fn writable_content(&self) -> Result<MutexGuard<'_, Content>, StoreError> {
        match self.access {
            Access::Write => self.open_content(),
            Access::Read => Err(StoreError::Unavailable("the handle was opened for reading only".into())),
        }
    }

    /// Reads a log, which must be there.
    fn with_log<T>(&self, tenant: TenantId, read: impl FnOnce(&Log) -> T) -> Result<T, StoreError> {
        let content = self.open_content()?;
        content.logs.get(&tenant).map(read).ok_or(StoreError::UnknownTenant(tenant))
    }

    /// Reads what a log has of something; a tenant that nobody registered has nothing.
    fn found<T: Default>(
        &self,
        tenant: TenantId,
        find: impl FnOnce(&Log) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let content = self.open_content()?;
        content.logs.get(&tenant).map_or_else(|| Ok(T::default()), find)
    }

    /// The log that a lease was given for, unless somebody else took it since.
    fn check_lease(&self, lease: &Lease) -> Result<(), CommitError> {
        let content = self.writable_content().map_err(unavailable)?;
        match content.logs.get(&lease.tenant) {
            Some(log) if log.epoch == lease.epoch => Ok(()),
            _ => Err(CommitError::Fenced),
        }
    }
}

fn unavailable(error: StoreError) -> CommitError {
    CommitError::Unavailable(Box::new(error))
}

impl Store for MemoryStore {
    async fn register(&self, tenant: TenantId) -> Result<(), StoreError> {
        self.writable_content()?.logs.entry(tenant).or_insert_with(Log::empty);
        Ok(())
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        Ok(self.open_content()?.logs.keys().copied().collect())
    }

    async fn acquire(
        &self,
        tenant: TenantId,
        writer: &WriterId,
        _ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        let mut content = self.writable_content()?;
        let log = content.logs.get_mut(&tenant).ok_or(StoreError::UnknownTenant(tenant))?;
        log.epoch += 1;
        Ok(Lease { tenant, writer: writer.clone(), epoch: log.epoch, head: log.head })
    }

    async fn renew(&self, lease: &Lease, _ttl: Duration) -> Result<(), CommitError> {
        self.check_lease(lease)
    }

    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        self.check_lease(lease)
    }

    async fn commit(&self, batch: &Batch) -> Result<Receipt, CommitError> {
        let mut content = self.writable_content().map_err(unavailable)?;
        let fault = content.fault.take();
        if fault == Some(FaultKind::BeforeCommit) {
            return Err(CommitError::Unavailable("cut before the commit".into()));
        }
        let log = content.logs.get_mut(&batch.tenant).ok_or(CommitError::Fenced)?;
        log.check(batch)?;
        log.apply(batch);
        content.bells.ring(batch.tenant, batch.after.log_seq);
        match fault {
            Some(_) => Err(CommitError::Unavailable("cut after the commit".into())),
            None => Ok(Receipt { head: batch.after }),
        }
    }

    async fn lookup(&self, tenant: TenantId, keys: &[DedupeKey]) -> Result<Vec<DedupeHit>, StoreError> {
        self.found(tenant, |log| Ok(keys.iter().filter_map(|key| log.taken.get(key)).cloned().collect()))
    }

    async fn streams(&self, tenant: TenantId, keys: &[StreamKey]) -> Result<Vec<StreamVersion>, StoreError> {
        self.found(tenant, |log| {
            let known = keys.iter().filter_map(|key| log.streams.get_key_value(key));
            Ok(known.map(|(stream, seq)| StreamVersion { stream: stream.clone(), last_seq: *seq }).collect())
        })
    }

    #[tracing::instrument(level = "debug", name = "read", skip_all, fields(after = query.after, limit = query.limit))]
    async fn read(&self, query: &EventQuery) -> Result<Page, StoreError> {
        let page = self.with_log(query.tenant, |log| log.page(&question::about_events(query)))?;
        question::count(&page);
        Ok(page)
    }

    async fn rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        self.found(tenant, |log| match question::about_rows(query) {
            Some(query) => log.rows(table, &query),
            None => Ok(Vec::new()),
        })
    }

    async fn capture(
        &self,
        tenant: TenantId,
        queries: &[(&'static Table, RowQuery)],
    ) -> Result<Capture, StoreError> {
        self.with_log(tenant, |log| {
            let rows = |(table, query): &(&'static Table, RowQuery)| match question::about_rows(query) {
                Some(query) => log.rows(table, &query),
                None => Ok(Vec::new()),
            };
            Ok(Capture { head: log.head, rows: queries.iter().map(rows).collect::<Result<_, StoreError>>()? })
        })?
    }

    async fn head(&self, tenant: TenantId) -> Result<Head, StoreError> {
        self.with_log(tenant, |log| log.head)
    }

    async fn checkpoint(&self, tenant: TenantId, name: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.found(tenant, |log| Ok(log.checkpoints.get(name).copied()))
    }

    async fn snapshot(
        &self,
        tenant: TenantId,
        scope: &str,
        scope_id: &str,
        up_to: i64,
    ) -> Result<Option<Snapshot>, StoreError> {
        self.found(tenant, |log| log.snapshot(scope, scope_id, up_to))
    }

    async fn begin_rebuild(&self, next: &Generation) -> Result<Option<i64>, CommitError> {
        let mut content = self.writable_content().map_err(unavailable)?;
        let log = content.logs.get_mut(&next.tenant).ok_or(CommitError::Fenced)?;
        Ok(log.begin_rebuild(next))
    }

    async fn fill(
        &self,
        next: &Generation,
        rows: &[TableRows],
        from: i64,
        to: i64,
    ) -> Result<(), CommitError> {
        let mut content = self.writable_content().map_err(unavailable)?;
        let log = content.logs.get_mut(&next.tenant).ok_or(CommitError::Fenced)?;
        log.fill(next, rows, from, to)
    }

    async fn shadow_rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        self.found(tenant, |log| match question::about_rows(query) {
            Some(query) => log.shadow_rows(table, &query),
            None => Ok(Vec::new()),
        })
    }

    async fn swap(&self, next: &Generation, lease: &Lease, head: Head) -> Result<(), CommitError> {
        let mut content = self.writable_content().map_err(unavailable)?;
        let log = content.logs.get_mut(&next.tenant).ok_or(CommitError::Fenced)?;
        log.swap(next, lease, head)
    }

    async fn abandon_rebuild(&self, next: &Generation) -> Result<(), CommitError> {
        if let Some(log) = self.writable_content().map_err(unavailable)?.logs.get_mut(&next.tenant) {
            log.abandon(next);
        }
        Ok(())
    }

    fn doorbell(&self, tenant: TenantId) -> watch::Receiver<i64> {
        self.locked().bells.listen(tenant)
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }
}
