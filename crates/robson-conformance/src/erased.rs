//! Backends behind one type, so that a case is a plain function and a registry can hold it.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use robson_eventlog::{
    AcquireError, Batch, Capture, Checkpoint, CommitError, DedupeHit, DedupeKey, EventQuery, Generation,
    Head, Lease, Page, Receipt, Row, RowQuery, Snapshot, Store, StoreError, StreamKey, StreamVersion, Table,
    TableRows, TenantId, WriterId,
};
use tokio::sync::{oneshot, watch};

use crate::harness::{Access, Cut, Database, Fault, Injected};

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The storage contract, object-safe; every store has it.
trait DynStore: Send + Sync + std::fmt::Debug + 'static {
    fn as_any(&self) -> &dyn Any;
    fn register(&self, tenant: TenantId) -> Boxed<'_, Result<(), StoreError>>;
    fn tenants(&self) -> Boxed<'_, Result<Vec<TenantId>, StoreError>>;
    fn acquire<'a>(
        &'a self,
        tenant: TenantId,
        writer: &'a WriterId,
        ttl: Duration,
    ) -> Boxed<'a, Result<Lease, AcquireError>>;
    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> Boxed<'a, Result<(), CommitError>>;
    fn release<'a>(&'a self, lease: &'a Lease) -> Boxed<'a, Result<(), CommitError>>;
    fn commit<'a>(&'a self, batch: &'a Batch) -> Boxed<'a, Result<Receipt, CommitError>>;
    fn lookup<'a>(
        &'a self,
        tenant: TenantId,
        keys: &'a [DedupeKey],
    ) -> Boxed<'a, Result<Vec<DedupeHit>, StoreError>>;
    fn streams<'a>(
        &'a self,
        tenant: TenantId,
        keys: &'a [StreamKey],
    ) -> Boxed<'a, Result<Vec<StreamVersion>, StoreError>>;
    fn read<'a>(&'a self, query: &'a EventQuery) -> Boxed<'a, Result<Page, StoreError>>;
    fn rows<'a>(
        &'a self,
        tenant: TenantId,
        table: &'static Table,
        query: &'a RowQuery,
    ) -> Boxed<'a, Result<Vec<Row>, StoreError>>;
    fn capture<'a>(
        &'a self,
        tenant: TenantId,
        queries: &'a [(&'static Table, RowQuery)],
    ) -> Boxed<'a, Result<Capture, StoreError>>;
    fn head(&self, tenant: TenantId) -> Boxed<'_, Result<Head, StoreError>>;
    fn checkpoint<'a>(
        &'a self,
        tenant: TenantId,
        name: &'a str,
    ) -> Boxed<'a, Result<Option<Checkpoint>, StoreError>>;
    fn snapshot<'a>(
        &'a self,
        tenant: TenantId,
        scope: &'a str,
        scope_id: &'a str,
        up_to: i64,
    ) -> Boxed<'a, Result<Option<Snapshot>, StoreError>>;
    fn begin_rebuild<'a>(&'a self, next: &'a Generation) -> Boxed<'a, Result<Option<i64>, CommitError>>;
    fn fill<'a>(
        &'a self,
        next: &'a Generation,
        rows: &'a [TableRows],
        from: i64,
        to: i64,
    ) -> Boxed<'a, Result<(), CommitError>>;
    fn shadow_rows<'a>(
        &'a self,
        tenant: TenantId,
        table: &'static Table,
        query: &'a RowQuery,
    ) -> Boxed<'a, Result<Vec<Row>, StoreError>>;
    fn swap<'a>(
        &'a self,
        next: &'a Generation,
        lease: &'a Lease,
        head: Head,
    ) -> Boxed<'a, Result<(), CommitError>>;
    fn abandon_rebuild<'a>(&'a self, next: &'a Generation) -> Boxed<'a, Result<(), CommitError>>;
    fn doorbell(&self, tenant: TenantId) -> watch::Receiver<i64>;
    fn close(&self) -> Boxed<'_, ()>;
}

impl<S: Store> DynStore for S {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn register(&self, tenant: TenantId) -> Boxed<'_, Result<(), StoreError>> {
        Box::pin(Store::register(self, tenant))
    }
    fn tenants(&self) -> Boxed<'_, Result<Vec<TenantId>, StoreError>> {
        Box::pin(Store::tenants(self))
    }
    fn acquire<'a>(
        &'a self,
        tenant: TenantId,
        writer: &'a WriterId,
        ttl: Duration,
    ) -> Boxed<'a, Result<Lease, AcquireError>> {
        Box::pin(Store::acquire(self, tenant, writer, ttl))
    }
    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> Boxed<'a, Result<(), CommitError>> {
        Box::pin(Store::renew(self, lease, ttl))
    }
    fn release<'a>(&'a self, lease: &'a Lease) -> Boxed<'a, Result<(), CommitError>> {
        Box::pin(Store::release(self, lease))
    }
    fn commit<'a>(&'a self, batch: &'a Batch) -> Boxed<'a, Result<Receipt, CommitError>> {
        Box::pin(Store::commit(self, batch))
    }
    fn lookup<'a>(
        &'a self,
        tenant: TenantId,
        keys: &'a [DedupeKey],
    ) -> Boxed<'a, Result<Vec<DedupeHit>, StoreError>> {
        Box::pin(Store::lookup(self, tenant, keys))
    }
    fn streams<'a>(
        &'a self,
        tenant: TenantId,
        keys: &'a [StreamKey],
    ) -> Boxed<'a, Result<Vec<StreamVersion>, StoreError>> {
        Box::pin(Store::streams(self, tenant, keys))
    }
    fn read<'a>(&'a self, query: &'a EventQuery) -> Boxed<'a, Result<Page, StoreError>> {
        Box::pin(Store::read(self, query))
    }
    fn rows<'a>(
        &'a self,
        tenant: TenantId,
        table: &'static Table,
        query: &'a RowQuery,
    ) -> Boxed<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(Store::rows(self, tenant, table, query))
    }
    fn capture<'a>(
        &'a self,
        tenant: TenantId,
        queries: &'a [(&'static Table, RowQuery)],
    ) -> Boxed<'a, Result<Capture, StoreError>> {
        Box::pin(Store::capture(self, tenant, queries))
    }
    fn head(&self, tenant: TenantId) -> Boxed<'_, Result<Head, StoreError>> {
        Box::pin(Store::head(self, tenant))
    }
    fn checkpoint<'a>(
        &'a self,
        tenant: TenantId,
        name: &'a str,
    ) -> Boxed<'a, Result<Option<Checkpoint>, StoreError>> {
        Box::pin(Store::checkpoint(self, tenant, name))
    }
    fn snapshot<'a>(
        &'a self,
        tenant: TenantId,
        scope: &'a str,
        scope_id: &'a str,
        up_to: i64,
    ) -> Boxed<'a, Result<Option<Snapshot>, StoreError>> {
        Box::pin(Store::snapshot(self, tenant, scope, scope_id, up_to))
    }
    fn begin_rebuild<'a>(&'a self, next: &'a Generation) -> Boxed<'a, Result<Option<i64>, CommitError>> {
        Box::pin(Store::begin_rebuild(self, next))
    }
    fn fill<'a>(
        &'a self,
        next: &'a Generation,
        rows: &'a [TableRows],
        from: i64,
        to: i64,
    ) -> Boxed<'a, Result<(), CommitError>> {
        Box::pin(Store::fill(self, next, rows, from, to))
    }
    fn shadow_rows<'a>(
        &'a self,
        tenant: TenantId,
        table: &'static Table,
        query: &'a RowQuery,
    ) -> Boxed<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(Store::shadow_rows(self, tenant, table, query))
    }
    fn swap<'a>(
        &'a self,
        next: &'a Generation,
        lease: &'a Lease,
        head: Head,
    ) -> Boxed<'a, Result<(), CommitError>> {
        Box::pin(Store::swap(self, next, lease, head))
    }
    fn abandon_rebuild<'a>(&'a self, next: &'a Generation) -> Boxed<'a, Result<(), CommitError>> {
        Box::pin(Store::abandon_rebuild(self, next))
    }

    fn doorbell(&self, tenant: TenantId) -> watch::Receiver<i64> {
        Store::doorbell(self, tenant)
    }
    fn close(&self) -> Boxed<'_, ()> {
        Box::pin(Store::close(self))
    }
}

/// Any backend's store. It can lose the answer of a commit, which every backend must survive.
#[derive(Debug)]
pub struct SharedStore {
    inner: Box<dyn DynStore>,
    cut: Mutex<Option<Cut>>,
    gate: Mutex<Option<Gate>>,
    row_reads: watch::Sender<u64>,
}

/// What tells that a commit has come, and what lets it go on.
type Gate = (oneshot::Sender<()>, oneshot::Receiver<Option<Cut>>);

/// The next commit, which waits to be let go.
#[derive(Debug)]
pub struct HeldCommit {
    arrived: oneshot::Receiver<()>,
    go: oneshot::Sender<Option<Cut>>,
}

impl HeldCommit {
    /// Waits until the commit has come.
    pub async fn arrived(&mut self) {
        // A store that is gone holds nothing.
        let _ = (&mut self.arrived).await;
    }

    /// Lets it go on, or loses it.
    pub fn let_go(self, cut: Option<Cut>) {
        let _ = self.go.send(cut);
    }
}

impl SharedStore {
    /// Takes a backend's store.
    pub fn new<S: Store>(store: S) -> Self {
        let (cut, gate) = (Mutex::new(None), Mutex::new(None));
        Self { inner: Box::new(store), cut, gate, row_reads: watch::Sender::new(0) }
    }

    /// Holds the next commit above the backend, before anything of it is sent.
    pub fn hold_next_commit(&self) -> HeldCommit {
        let ((come, arrived), (go, gone)) = (oneshot::channel(), oneshot::channel());
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some((come, gone));
        HeldCommit { arrived, go }
    }

    /// How often rows were read; changes wake the receiver.
    pub fn row_reads(&self) -> watch::Receiver<u64> {
        self.row_reads.subscribe()
    }

    /// Loses the next commit above the backend: it is not sent, or its answer is dropped.
    pub fn cut_next_commit(&self, cut: Cut) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
    }
}

impl Store for SharedStore {
    async fn register(&self, tenant: TenantId) -> Result<(), StoreError> {
        self.inner.register(tenant).await
    }
    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.inner.tenants().await
    }
    async fn acquire(
        &self,
        tenant: TenantId,
        writer: &WriterId,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        self.inner.acquire(tenant, writer, ttl).await
    }
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
        self.inner.renew(lease, ttl).await
    }
    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        self.inner.release(lease).await
    }
    async fn commit(&self, batch: &Batch) -> Result<Receipt, CommitError> {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner).take();
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((come, gone)) = gate {
            let _ = come.send(());
            cut = gone.await.unwrap_or_default();
        }
        match cut {
            None => self.inner.commit(batch).await,
            Some(Cut::Before) => Err(CommitError::Unavailable("cut before the commit".into())),
            Some(Cut::After) => {
                self.inner.commit(batch).await?;
                Err(CommitError::Unavailable("cut after the commit".into()))
            }
        }
    }
    async fn lookup(&self, tenant: TenantId, keys: &[DedupeKey]) -> Result<Vec<DedupeHit>, StoreError> {
        self.inner.lookup(tenant, keys).await
    }
    async fn streams(&self, tenant: TenantId, keys: &[StreamKey]) -> Result<Vec<StreamVersion>, StoreError> {
        self.inner.streams(tenant, keys).await
    }
    async fn read(&self, query: &EventQuery) -> Result<Page, StoreError> {
        self.inner.read(query).await
    }
    async fn rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = self.inner.rows(tenant, table, query).await;
        self.row_reads.send_modify(|reads| *reads += 1);
        rows
    }
    async fn capture(
        &self,
        tenant: TenantId,
        queries: &[(&'static Table, RowQuery)],
    ) -> Result<Capture, StoreError> {
        self.inner.capture(tenant, queries).await
    }
    async fn head(&self, tenant: TenantId) -> Result<Head, StoreError> {
        self.inner.head(tenant).await
    }
    async fn checkpoint(&self, tenant: TenantId, name: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.inner.checkpoint(tenant, name).await
    }
    async fn snapshot(
        &self,
        tenant: TenantId,
        scope: &str,
        scope_id: &str,
        up_to: i64,
    ) -> Result<Option<Snapshot>, StoreError> {
        self.inner.snapshot(tenant, scope, scope_id, up_to).await
    }
    async fn begin_rebuild(&self, next: &Generation) -> Result<Option<i64>, CommitError> {
        self.inner.begin_rebuild(next).await
    }
    async fn fill(
        &self,
        next: &Generation,
        rows: &[TableRows],
        from: i64,
        to: i64,
    ) -> Result<(), CommitError> {
        self.inner.fill(next, rows, from, to).await
    }
    async fn shadow_rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.shadow_rows(tenant, table, query).await
    }
    async fn swap(&self, next: &Generation, lease: &Lease, head: Head) -> Result<(), CommitError> {
        self.inner.swap(next, lease, head).await
    }
    async fn abandon_rebuild(&self, next: &Generation) -> Result<(), CommitError> {
        self.inner.abandon_rebuild(next).await
    }

    fn doorbell(&self, tenant: TenantId) -> watch::Receiver<i64> {
        self.inner.doorbell(tenant)
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A backend's database, object-safe.
pub(crate) trait DynDatabase: Send + Sync {
    fn open(&self, access: Access) -> Boxed<'_, anyhow::Result<SharedStore>>;
    fn prepare(&self, table: &'static Table) -> Boxed<'_, anyhow::Result<()>>;
    fn inject<'a>(&'a self, store: &'a SharedStore, fault: Fault) -> Boxed<'a, anyhow::Result<Injected>>;
    fn address(&self) -> Result<String, &'static str>;
    fn remove(&self) -> Boxed<'_, anyhow::Result<()>>;
}

impl<D: Database> DynDatabase for D {
    fn open(&self, access: Access) -> Boxed<'_, anyhow::Result<SharedStore>> {
        Box::pin(async move { Ok(SharedStore::new(Database::open(self, access).await?)) })
    }
    fn prepare(&self, table: &'static Table) -> Boxed<'_, anyhow::Result<()>> {
        Box::pin(Database::prepare(self, table))
    }
    fn inject<'a>(&'a self, store: &'a SharedStore, fault: Fault) -> Boxed<'a, anyhow::Result<Injected>> {
        Box::pin(async move {
            let store = (*store.inner).as_any().downcast_ref::<D::Store>();
            let store = store.ok_or_else(|| anyhow::anyhow!("the store is of another database"))?;
            Database::inject(self, store, fault).await
        })
    }
    fn address(&self) -> Result<String, &'static str> {
        Database::address(self)
    }
    fn remove(&self) -> Boxed<'_, anyhow::Result<()>> {
        Box::pin(Database::remove(self))
    }
}
