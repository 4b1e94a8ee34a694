//! SQLite: one file, one writing process, one writer connection with `BEGIN IMMEDIATE`, read-only readers.
//!
//! Decides nothing: it binds, runs and reads SQL.

mod backup;
mod connect;
mod database;
mod value;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use robson_eventlog::{
    AcquireError, Batch, Bells, Capture, Checkpoint, CommitError, DedupeHit, DedupeKey, EventQuery,
    Generation, Head, Lease, Page, Receipt, Row, RowQuery, Snapshot, Store, StoreError, StreamKey,
    StreamVersion, Table, TableRows, TenantId, WriterId,
};
use sqlx::Connection as _;
use sqlx::sqlite::{Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::watch;

use crate::open::{Access, BackupError, OpenError, OpenOptions};
use crate::sql::database::store_error;
use crate::sql::migrate::MigrationReport;
use crate::sql::rebuild::{self, Step};
use crate::sql::session::{Session, Writer, unavailable};
use crate::sql::statement::{self, Dialect};
use crate::sql::{commit, lease, read};

/// A SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    options: OpenOptions,
    writer: Arc<Writer<Sqlite>>,
    readers: SqlitePool,
    migrations: MigrationReport,
    /// Of this handle alone: another process is noticed by asking.
    bells: Bells,
    /// Held until the store is closed or dropped; none in a read-only handle.
    lock: Mutex<Option<Arc<connect::WriteLock>>>,
}

impl SqliteStore {
    /// Opens a file; for writing, makes and migrates it where needed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let opened = connect::open(&path, options).await?;
        Ok(Self {
            path,
            options: options.clone(),
            writer: Arc::new(Writer::new(options.access, opened.writer)),
            readers: opened.readers,
            migrations: opened.migrations,
            bells: Bells::default(),
            lock: Mutex::new(opened.lock),
        })
    }

    /// What opening migrated, and the schema's version.
    pub const fn migrations(&self) -> &MigrationReport {
        &self.migrations
    }

    /// The library's version.
    ///
    /// # Errors
    /// As the store says.
    pub async fn version(&self) -> Result<String, StoreError> {
        let query = sqlx::query_scalar("SELECT sqlite_version()");
        query.fetch_one(&self.readers).await.map_err(|error| store_error::<Sqlite>(&error))
    }

    /// The pragmas that durability rests on: name and value, as the writer has them; in a read-only
    /// handle, as a reader has them.
    ///
    /// # Errors
    /// As the store says.
    pub async fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let pragmas = match self.options.access {
            Access::Read => {
                let mut reader =
                    self.readers.acquire().await.map_err(|error| store_error::<Sqlite>(&error))?;
                connect::read_pragmas(&mut reader).await
            }
            Access::Write => {
                let mut session = self.session().await?;
                let pragmas = connect::read_pragmas(&mut session.connection).await;
                if pragmas.is_ok() {
                    session.keep();
                }
                pragmas
            }
        };
        let pragmas = pragmas.map_err(|error| store_error::<Sqlite>(&error))?;
        Ok(pragmas.into_iter().map(|(name, _, value)| (name.to_owned(), value)).collect())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies what is committed now to a new file, and checks the copy; appends go on meanwhile. Answers the
    /// copy's size in bytes.
    ///
    /// # Errors
    /// See [`BackupError`]; no file is left.
    pub async fn backup(&self, to: impl AsRef<Path> + Send) -> Result<u64, BackupError> {
        backup::backup(&self.path, to.as_ref()).await
    }

    /// Makes a table that no migration makes, for tests of projections that bring their own.
    ///
    /// # Errors
    /// As the store says.
    #[doc(hidden)]
    pub async fn create_table(&self, table: &'static Table) -> Result<(), StoreError> {
        self.session().await?.run(statement::create_table(Dialect::Sqlite, table)).await
    }

    /// Runs one statement as any other program could, for tests that tamper.
    ///
    /// # Errors
    /// What SQLite says.
    #[doc(hidden)]
    pub async fn execute_foreign(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.path);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
        connection.close().await?;
        Ok(done.rows_affected())
    }

    /// Runs one statement on the writer's own connection, for tests that limit it.
    ///
    /// # Errors
    /// What SQLite says.
    #[doc(hidden)]
    pub fn execute_on_writer(
        &self,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send + use<> {
        let writer = Arc::clone(&self.writer);
        async move {
            match writer.lock().await.connection.as_mut() {
                Some(connection) => sqlx::raw_sql(sql).execute(connection).await.map(|_| ()),
                // It was lost, and with it whatever limited it.
                None => Ok(()),
            }
        }
    }

    /// Takes every connection that reads, until the answer is dropped, for tests.
    ///
    /// # Errors
    /// What SQLite says.
    #[doc(hidden)]
    pub async fn hold_readers(&self) -> Result<impl Send + use<>, sqlx::Error> {
        read::hold_all(&self.readers).await
    }

    async fn session(&self) -> Result<Session<'_, Sqlite>, StoreError> {
        let reconnect = async {
            let connection = connect::reconnect(&self.path, &self.options).await;
            connection.map_err(|error| StoreError::Unavailable(Box::new(error)))
        };
        self.writer.session(reconnect).await
    }
}

impl Store for SqliteStore {
    async fn register(&self, tenant: TenantId) -> Result<(), StoreError> {
        lease::register(self.session().await?, tenant).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        lease::tenants(&self.readers).await
    }

    async fn acquire(
        &self,
        tenant: TenantId,
        writer: &WriterId,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        lease::acquire(self.session().await?, &self.readers, tenant, writer, ttl).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
        lease::renew(self.session().await.map_err(unavailable)?, lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        lease::release(self.session().await.map_err(unavailable)?, lease).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Receipt, CommitError> {
        let receipt = commit::commit(self.session().await.map_err(unavailable)?, batch, None).await?;
        self.bells.ring(batch.tenant, receipt.head.log_seq);
        Ok(receipt)
    }

    async fn lookup(&self, tenant: TenantId, keys: &[DedupeKey]) -> Result<Vec<DedupeHit>, StoreError> {
        read::lookup(&self.readers, tenant, keys).await
    }

    async fn streams(&self, tenant: TenantId, keys: &[StreamKey]) -> Result<Vec<StreamVersion>, StoreError> {
        read::streams(&self.readers, tenant, keys).await
    }

    async fn read(&self, query: &EventQuery) -> Result<Page, StoreError> {
        read::page(&self.readers, query).await
    }

    async fn rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        read::rows(&self.readers, tenant, table, query).await
    }

    async fn capture(
        &self,
        tenant: TenantId,
        queries: &[(&'static Table, RowQuery)],
    ) -> Result<Capture, StoreError> {
        read::capture(&self.readers, tenant, queries).await
    }

    async fn head(&self, tenant: TenantId) -> Result<Head, StoreError> {
        read::head(&self.readers, tenant).await
    }

    async fn checkpoint(&self, tenant: TenantId, name: &str) -> Result<Option<Checkpoint>, StoreError> {
        read::checkpoint(&self.readers, tenant, name).await
    }

    async fn snapshot(
        &self,
        tenant: TenantId,
        scope: &str,
        scope_id: &str,
        up_to: i64,
    ) -> Result<Option<Snapshot>, StoreError> {
        read::snapshot(&self.readers, tenant, scope, scope_id, up_to).await
    }

    async fn begin_rebuild(&self, next: &Generation) -> Result<Option<i64>, CommitError> {
        rebuild::step(self.session().await.map_err(unavailable)?, Step::Begin(next)).await
    }

    async fn fill(
        &self,
        next: &Generation,
        rows: &[TableRows],
        from: i64,
        to: i64,
    ) -> Result<(), CommitError> {
        let step = Step::Fill { next, rows, from, to };
        rebuild::step(self.session().await.map_err(unavailable)?, step).await.map(drop)
    }

    async fn shadow_rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        read::rows(&self.readers, tenant, rebuild::shadow(table), query).await
    }

    async fn swap(&self, next: &Generation, lease: &Lease, head: Head) -> Result<(), CommitError> {
        let step = Step::Swap { next, lease, head };
        rebuild::step(self.session().await.map_err(unavailable)?, step).await.map(drop)
    }

    async fn abandon_rebuild(&self, next: &Generation) -> Result<(), CommitError> {
        rebuild::step(self.session().await.map_err(unavailable)?, Step::Abandon(next)).await.map(drop)
    }

    fn doorbell(&self, tenant: TenantId) -> watch::Receiver<i64> {
        self.bells.listen(tenant)
    }

    async fn close(&self) {
        self.writer.close(&self.readers).await;
        // The next writer may begin once nothing of this one is left.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use robson_eventlog::log_tables::{EVENT_IDEMPOTENCY, STREAM_STATE};
    use robson_eventlog::{Direction, Value};
    use sqlx::Row as _;

    use super::*;
    use crate::sql::statement::Statement;

    async fn plan(store: &SqliteStore, statement: Statement<'_>) -> String {
        let explain = Statement { sql: format!("EXPLAIN QUERY PLAN {}", statement.sql).into(), ..statement };
        let rows = value::query(explain).unwrap().fetch_all(&store.readers).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(3)).collect::<Vec<_>>().join("\n")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn hot_statements_use_their_index() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.db");
        let store = SqliteStore::open(path, &OpenOptions::default()).await.unwrap();
        let tenant = TenantId(uuid::Uuid::nil());
        let all = EventQuery { after: 7, ..EventQuery::all(tenant) };
        let backward = EventQuery { direction: Direction::Backward, limit: 1, ..EventQuery::all(tenant) };
        let stream = EventQuery { after: 7, ..EventQuery::stream(tenant, "order:1".parse().unwrap()) };
        let trace = EventQuery { trace_id: Some(uuid::Uuid::nil()), ..EventQuery::all(tenant) };
        for (index, query) in
            [("log_seq", all), ("tenant_id", backward), ("stream_key", stream), ("trace", trace)]
        {
            let plan = plan(&store, statement::select_events(Dialect::Sqlite, &query)).await;
            let is_used = plan.lines().any(|line| line.contains("SEARCH event_log") && line.contains(index));
            assert!(is_used && !plan.contains("SCAN event_log"), "{index}: {plan}");
        }
        let keys = RowQuery::keys(vec![vec![Value::Text("a".to_owned())]]);
        for table in [&EVENT_IDEMPOTENCY, &STREAM_STATE] {
            let [statement] = statement::select(Dialect::Sqlite, tenant, table, &keys).try_into().unwrap();
            let plan = plan(&store, statement).await;
            assert!(plan.contains(&format!("SEARCH {} USING PRIMARY KEY", table.name)), "{plan}");
        }
        store.close().await;
    }
}
