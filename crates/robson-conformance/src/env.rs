//! What a case works with: its own database, a clock, ledgers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use robson_eventlog::{Ledger, LedgerOptions, Store, Table, TenantId};
use uuid::Uuid;

use crate::child;
use crate::clock::TestClock;
use crate::erased::{Boxed, DynDatabase, SharedStore};
use crate::fixtures::{Random, at};
use crate::harness::{Access, Fault, Harness, Injected, Lacking};
use crate::runner::SEED;
use crate::tally::{RUNNING, TALLIES, Tally};

/// Where every case's clock begins.
const BEGINNING: &str = "2026-01-15T12:00:00.000000Z";

/// A case's own database, with a writing handle on it.
pub struct Env {
    name: &'static str,
    backend: &'static str,
    database: Box<dyn DynDatabase>,
    store: Mutex<Arc<SharedStore>>,
    clock: Arc<TestClock>,
    alone: Alone,
}

/// Makes a database on a server of its own.
type Alone = Arc<dyn Fn() -> Boxed<'static, anyhow::Result<Box<dyn DynDatabase>>> + Send + Sync>;

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").field("case", &self.name).finish_non_exhaustive()
    }
}

impl Env {
    /// The tenant of most cases; registered.
    pub const TENANT: TenantId = TenantId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001));
    /// Another tenant; registered too.
    pub const NEIGHBOUR: TenantId = TenantId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0002));
    /// A tenant that nobody registered.
    pub const STRANGER: TenantId = TenantId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0003));

    pub(crate) async fn new<H: Harness>(harness: &Arc<H>, name: &'static str) -> anyhow::Result<Self> {
        let database: Box<dyn DynDatabase> = Box::new(harness.fresh(name).await?);
        let harness = Arc::clone(harness);
        let backend = harness.name();
        let alone: Alone = Arc::new(move || {
            let harness = Arc::clone(&harness);
            Box::pin(async move {
                let database: Box<dyn DynDatabase> = Box::new(harness.alone(name).await?);
                Ok(database)
            })
        });
        Self::on(database, name, backend, alone).await
    }

    async fn on(
        database: Box<dyn DynDatabase>,
        name: &'static str,
        backend: &'static str,
        alone: Alone,
    ) -> anyhow::Result<Self> {
        let store = Arc::new(database.open(Access::Write).await?);
        store.register(Self::TENANT).await?;
        store.register(Self::NEIGHBOUR).await?;
        let clock = Arc::new(TestClock::at(at(BEGINNING)));
        Ok(Self { name, backend, database, store: Mutex::new(store), clock, alone })
    }

    /// The same on a server of its own, which can be stopped; whoever asked for it lets it [`finish`](Self::finish).
    ///
    /// # Errors
    /// As the harness says.
    pub(crate) async fn alone(&self) -> anyhow::Result<Self> {
        Self::on((self.alone)().await?, self.name, self.backend, Arc::clone(&self.alone)).await
    }

    pub(crate) async fn finish(&self) -> anyhow::Result<()> {
        self.store().close().await;
        self.database.remove().await
    }

    /// The writing handle.
    pub fn store(&self) -> Arc<SharedStore> {
        Arc::clone(&self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another handle on the same database, as another process would have it; it only reads.
    ///
    /// # Errors
    /// As the harness says.
    pub async fn reader(&self) -> anyhow::Result<Arc<SharedStore>> {
        Ok(Arc::new(self.database.open(Access::Read).await?))
    }

    /// A second writing handle, which the backend may refuse.
    ///
    /// # Errors
    /// The backend's refusal.
    pub async fn second_writer(&self) -> anyhow::Result<Arc<SharedStore>> {
        Ok(Arc::new(self.database.open(Access::Write).await?))
    }

    /// Closes the writing handle and opens a new one.
    ///
    /// # Errors
    /// As the harness says.
    pub async fn reopen(&self) -> anyhow::Result<Arc<SharedStore>> {
        self.store().close().await;
        self.open_again().await
    }

    /// Lets the process die without closing anything, and opens the database as the next one would.
    ///
    /// # Errors
    /// As the harness says.
    pub async fn crash(&self) -> anyhow::Result<Arc<SharedStore>> {
        self.inject(Fault::Crash).await?;
        self.open_again().await
    }

    /// Closes the writing handle, lets a child process append until it has acknowledged so many appends,
    /// kills it, and opens the database again; answers the last place that was acknowledged.
    ///
    /// # Errors
    /// [`Lacking`] where the database has no address; when the child ends by itself.
    pub async fn kill_child_after(&self, appends: usize, events: usize) -> anyhow::Result<i64> {
        let address = self.database.address();
        let address = address.map_err(|reason| Lacking { capability: "address".to_owned(), reason })?;
        self.store().close().await;
        let backend = self.backend;
        let killed =
            tokio::task::spawn_blocking(move || child::run_and_kill(backend, &address, appends, events));
        let acknowledged = killed.await??;
        self.open_again().await?;
        Ok(acknowledged)
    }

    async fn open_again(&self) -> anyhow::Result<Arc<SharedStore>> {
        let store = Arc::new(self.database.open(Access::Write).await?);
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&store);
        Ok(store)
    }

    /// Makes something go wrong that happens at once; answers the database's refusal, if any.
    ///
    /// # Errors
    /// [`Lacking`] where the backend cannot have it.
    pub async fn inject(&self, fault: Fault) -> anyhow::Result<Option<String>> {
        match self.database.inject(&self.store(), fault).await? {
            Injected::Done => Ok(None),
            Injected::Refused(message) => Ok(Some(message)),
            Injected::Until(_) => anyhow::bail!("{fault:?} happens at once, there is nothing to release"),
            Injected::Impossible(reason) => Err(Lacking { capability: fault.to_string(), reason }.into()),
        }
    }

    /// Makes something go wrong for as long as `during` runs, and answers what that answers.
    ///
    /// # Errors
    /// [`Lacking`] where the backend cannot have it; as `during` says.
    pub async fn during<T>(
        &self,
        fault: Fault,
        during: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        match self.database.inject(&self.store(), fault).await? {
            Injected::Until(release) => {
                let result = during.await;
                release.await?;
                result
            }
            Injected::Impossible(reason) => Err(Lacking { capability: fault.to_string(), reason }.into()),
            other => anyhow::bail!("{fault:?} lasts until it is released, the harness says {other:?}"),
        }
    }

    /// Makes a table of the suite's own.
    ///
    /// # Errors
    /// As the harness says.
    pub async fn prepare(&self, table: &'static Table) -> anyhow::Result<()> {
        self.database.prepare(table).await
    }

    /// The clock that the ledgers read.
    pub fn clock(&self) -> &TestClock {
        &self.clock
    }

    /// Random choices that are the same in every run.
    pub fn random(&self) -> Random {
        let case = self.name.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Random::new(SEED ^ case)
    }

    /// How the ledgers of a tenant are opened. The writer is always the same one, which may take its
    /// lease over at once.
    ///
    /// # Panics
    /// Never: the writer's name is one.
    pub fn options(&self, tenant: TenantId) -> LedgerOptions {
        let writer = "suite".parse().expect("the name of a writer");
        let clock = Arc::clone(&self.clock);
        let patience = Duration::from_secs(2);
        LedgerOptions { seed: 7, patience, ..LedgerOptions::new(tenant, writer, clock) }
    }

    /// A ledger of [`Env::TENANT`].
    ///
    /// # Errors
    /// When the lease was not given.
    pub async fn ledger(&self) -> anyhow::Result<Ledger<SharedStore>> {
        self.ledger_of(Self::TENANT).await
    }

    /// A ledger of a tenant.
    ///
    /// # Errors
    /// When the lease was not given.
    pub async fn ledger_of(&self, tenant: TenantId) -> anyhow::Result<Ledger<SharedStore>> {
        Ok(Ledger::open(self.store(), self.options(tenant)).await?)
    }

    /// A ledger of [`Env::TENANT`] that keeps the suite's tallies.
    ///
    /// # Errors
    /// When the lease was not given, or a table could not be made.
    pub async fn tallying_ledger(&self) -> anyhow::Result<Ledger<SharedStore>> {
        self.prepare(&TALLIES).await?;
        self.prepare(&RUNNING).await?;
        self.open_tallying(Self::TENANT).await
    }

    /// A ledger that keeps the tallies, whose tables exist.
    ///
    /// # Errors
    /// When the lease was not given.
    pub async fn open_tallying(&self, tenant: TenantId) -> anyhow::Result<Ledger<SharedStore>> {
        let options = LedgerOptions { projections: vec![Arc::new(Tally)], ..self.options(tenant) };
        Ok(Ledger::open(self.store(), options).await?)
    }
}
