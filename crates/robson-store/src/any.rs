//! One store type for every backend of the build, chosen by URL.
//!
//! Forwards and adds nothing but a report.

use std::time::Duration;

use robson_eventlog::{
    AcquireError, Batch, Capture, Checkpoint, CommitError, DedupeHit, DedupeKey, EventQuery, Generation,
    Head, Lease, Page, Receipt, Row, RowQuery, Snapshot, Store, StoreError, StreamKey, StreamVersion, Table,
    TableRows, TenantId, Timestamp, WriterId,
};
use tokio::sync::watch;

use crate::open::{BackupError, DatabaseUrl, OpenError, OpenOptions};

/// A store of any backend that the build has.
#[derive(Debug)]
pub enum AnyStore {
    /// In this process, gone with it.
    #[cfg(feature = "memory")]
    Memory(crate::MemoryStore),
    /// A SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(crate::SqliteStore),
    /// A Postgres database.
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::PostgresStore>),
}

/// Evaluates an expression with the backend's own store. A build without backends has no store at all.
macro_rules! with_backend {
    ($any:expr, $store:ident => $body:expr) => {
        match *$any {
            #[cfg(feature = "memory")]
            AnyStore::Memory(ref $store) => $body,
            #[cfg(feature = "sqlite")]
            AnyStore::Sqlite(ref $store) => $body,
            #[cfg(feature = "postgres")]
            AnyStore::Postgres(ref $store) => $body,
        }
    };
}

/// What a database and its engine are, for `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendReport {
    /// `memory`, `SQLite` or `PostgreSQL`.
    pub backend: &'static str,
    /// The engine's version; none: there is no engine.
    pub version: Option<String>,
    /// Where the database is, without a password.
    pub location: String,
    /// The version of the schema, and the newest that this program knows.
    pub schema_versions: Option<(i32, i32)>,
    /// The settings as read back: name and value.
    pub settings: Vec<(String, String)>,
}

impl AnyStore {
    /// Opens the database that a URL names.
    ///
    /// # Errors
    /// See [`OpenError`]; `BackendMissing` where the build leaves the backend out.
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        expect(unused_variables, clippy::unused_async, reason = "memory takes no options and does not wait")
    )]
    pub async fn open(url: &DatabaseUrl, options: &OpenOptions) -> Result<Self, OpenError> {
        match url {
            #[cfg(feature = "memory")]
            DatabaseUrl::Memory => Ok(Self::Memory(crate::MemoryStore::new())),
            #[cfg(not(feature = "memory"))]
            DatabaseUrl::Memory => Err(OpenError::BackendMissing("memory")),
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(path) => crate::SqliteStore::open(path, options).await.map(Self::Sqlite),
            #[cfg(not(feature = "sqlite"))]
            DatabaseUrl::Sqlite(_) => Err(OpenError::BackendMissing("sqlite")),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => {
                let store = crate::PostgresStore::open(url, options).await?;
                Ok(Self::Postgres(Box::new(store)))
            }
            #[cfg(not(feature = "postgres"))]
            DatabaseUrl::Postgres(_) => Err(OpenError::BackendMissing("postgres")),
        }
    }

    /// What opening migrated, and the schema's version; nothing where there is no schema.
    #[cfg(feature = "sql")]
    pub const fn migrations(&self) -> Option<&crate::MigrationReport> {
        match self {
            #[cfg(feature = "memory")]
            Self::Memory(_) => None,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Some(store.migrations()),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Some(store.migrations()),
        }
    }

    /// The migrations that opening applied, oldest first.
    pub fn applied_migrations(&self) -> Vec<String> {
        #[cfg(feature = "sql")]
        if let Some(report) = self.migrations() {
            return report.applied.clone();
        }
        Vec::new()
    }

    /// Copies what is committed now to a new file, and checks the copy. Answers its size in bytes.
    ///
    /// # Errors
    /// See [`BackupError`]; no file is left.
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(unused_variables, clippy::unused_async, reason = "only a file is copied")
    )]
    pub async fn backup(&self, to: &std::path::Path) -> Result<u64, BackupError> {
        match *self {
            #[cfg(feature = "memory")]
            Self::Memory(_) => Err(BackupError::NotAFile),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref store) => store.backup(to).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Err(BackupError::NotAFile),
        }
    }

    /// Engine, version, place and settings, read back from the database.
    ///
    /// # Errors
    /// As the store says.
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        expect(clippy::unused_async, reason = "memory has nothing to ask")
    )]
    pub async fn describe(&self) -> Result<BackendReport, StoreError> {
        match *self {
            #[cfg(feature = "memory")]
            Self::Memory(_) => Ok(BackendReport {
                backend: "memory",
                version: None,
                location: "memory:".to_owned(),
                schema_versions: None,
                settings: Vec::new(),
            }),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref store) => Ok(BackendReport {
                backend: "SQLite",
                version: Some(store.version().await?),
                location: store.path().display().to_string(),
                schema_versions: Some(schema_versions(store.migrations())),
                settings: store.settings().await?,
            }),
            #[cfg(feature = "postgres")]
            Self::Postgres(ref store) => Ok(BackendReport {
                backend: "PostgreSQL",
                version: Some(store.server_version().to_owned()),
                location: store.url().to_owned(),
                schema_versions: Some(schema_versions(store.migrations())),
                settings: store.settings().await?,
            }),
        }
    }

    /// Makes the partitions of the month of `at` and of `months_ahead` more; answers how many were
    /// missing, 0 where nothing is partitioned.
    ///
    /// # Errors
    /// As the store says.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, clippy::unused_async, reason = "only Postgres has partitions")
    )]
    pub async fn ensure_partitions(&self, months_ahead: u16, at: Timestamp) -> Result<u32, StoreError> {
        match *self {
            #[cfg(feature = "memory")]
            Self::Memory(_) => Ok(0),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(0),
            #[cfg(feature = "postgres")]
            Self::Postgres(ref store) => store.ensure_partitions(months_ahead, at).await,
        }
    }

    /// How many months, from the month of `at` on and without a gap, have their partitions; nothing where
    /// nothing is partitioned.
    ///
    /// # Errors
    /// As the store says.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, clippy::unused_async, reason = "only Postgres has partitions")
    )]
    pub async fn partition_coverage(&self, at: Timestamp) -> Result<Option<i32>, StoreError> {
        match *self {
            #[cfg(feature = "memory")]
            Self::Memory(_) => Ok(None),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(None),
            #[cfg(feature = "postgres")]
            Self::Postgres(ref store) => store.partition_coverage(at).await.map(Some),
        }
    }
}

#[cfg(feature = "sql")]
const fn schema_versions(report: &crate::MigrationReport) -> (i32, i32) {
    (report.database_version, report.program_version)
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(
    not(any(feature = "memory", feature = "sqlite", feature = "postgres")),
    expect(unused_variables, reason = "a build without backends has no store to ask")
)]
impl Store for AnyStore {
    async fn register(&self, tenant: TenantId) -> Result<(), StoreError> {
        with_backend!(self, store => store.register(tenant).await)
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        with_backend!(self, store => store.tenants().await)
    }

    async fn acquire(
        &self,
        tenant: TenantId,
        writer: &WriterId,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        with_backend!(self, store => store.acquire(tenant, writer, ttl).await)
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
        with_backend!(self, store => store.renew(lease, ttl).await)
    }

    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        with_backend!(self, store => store.release(lease).await)
    }

    async fn commit(&self, batch: &Batch) -> Result<Receipt, CommitError> {
        with_backend!(self, store => store.commit(batch).await)
    }

    async fn lookup(&self, tenant: TenantId, keys: &[DedupeKey]) -> Result<Vec<DedupeHit>, StoreError> {
        with_backend!(self, store => store.lookup(tenant, keys).await)
    }

    async fn streams(&self, tenant: TenantId, keys: &[StreamKey]) -> Result<Vec<StreamVersion>, StoreError> {
        with_backend!(self, store => store.streams(tenant, keys).await)
    }

    async fn read(&self, query: &EventQuery) -> Result<Page, StoreError> {
        with_backend!(self, store => store.read(query).await)
    }

    async fn rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        with_backend!(self, store => store.rows(tenant, table, query).await)
    }

    async fn capture(
        &self,
        tenant: TenantId,
        queries: &[(&'static Table, RowQuery)],
    ) -> Result<Capture, StoreError> {
        with_backend!(self, store => store.capture(tenant, queries).await)
    }

    async fn head(&self, tenant: TenantId) -> Result<Head, StoreError> {
        with_backend!(self, store => store.head(tenant).await)
    }

    async fn checkpoint(&self, tenant: TenantId, name: &str) -> Result<Option<Checkpoint>, StoreError> {
        with_backend!(self, store => store.checkpoint(tenant, name).await)
    }

    async fn snapshot(
        &self,
        tenant: TenantId,
        scope: &str,
        scope_id: &str,
        up_to: i64,
    ) -> Result<Option<Snapshot>, StoreError> {
        with_backend!(self, store => store.snapshot(tenant, scope, scope_id, up_to).await)
    }

    async fn begin_rebuild(&self, next: &Generation) -> Result<Option<i64>, CommitError> {
        with_backend!(self, store => store.begin_rebuild(next).await)
    }

    async fn fill(
        &self,
        next: &Generation,
        rows: &[TableRows],
        from: i64,
        to: i64,
    ) -> Result<(), CommitError> {
        with_backend!(self, store => store.fill(next, rows, from, to).await)
    }

    async fn shadow_rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        with_backend!(self, store => store.shadow_rows(tenant, table, query).await)
    }

    async fn swap(&self, next: &Generation, lease: &Lease, head: Head) -> Result<(), CommitError> {
        with_backend!(self, store => store.swap(next, lease, head).await)
    }

    async fn abandon_rebuild(&self, next: &Generation) -> Result<(), CommitError> {
        with_backend!(self, store => store.abandon_rebuild(next).await)
    }

    fn doorbell(&self, tenant: TenantId) -> watch::Receiver<i64> {
        with_backend!(self, store => store.doorbell(tenant))
    }

    async fn close(&self) {
        with_backend!(self, store => store.close().await);
    }
}
