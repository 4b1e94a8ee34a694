//! PostgreSQL: one writer connection, a pool of readers, the log partitioned by month.
//!
//! Decides nothing: it binds, runs and reads SQL.

mod connect;
mod database;
mod listener;
mod months;
mod value;

use std::time::Duration;

use robson_eventlog::{
    AcquireError, Batch, Capture, Checkpoint, Column, ColumnKind, CommitError, DedupeHit, DedupeKey,
    EventQuery, Generation, Head, Lease, Page, Receipt, Row, RowQuery, Snapshot, Store, StoreError,
    StreamKey, StreamVersion, Table, TableRows, TenantId, Timestamp, Value, WriterId,
};
use sqlx::postgres::{PgConnectOptions, PgPool, Postgres};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::watch;

use crate::open::{Access, DatabaseUrl, OpenError, OpenOptions};
use crate::sql::database::{commit_error, store_error};
use crate::sql::migrate::MigrationReport;
use crate::sql::rebuild::{self, Step};
use crate::sql::session::{Session, Writer, unavailable};
use crate::sql::statement::{self, Arg, Dialect, Statement};
use crate::sql::{commit, lease, read};
use listener::Doorbells;
use months::Months;

/// The settings that durability and the contract rest on, as `doctor` shows them.
const SETTINGS: [&str; 9] = [
    "default_transaction_read_only",
    "fsync",
    "full_page_writes",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "synchronous_commit",
    "TimeZone",
    "wal_level",
];

/// A database on a Postgres server, or one schema of it.
#[derive(Debug)]
pub struct PostgresStore {
    url: String,
    access: Access,
    writer: Writer<Postgres>,
    writer_options: PgConnectOptions,
    readers: PgPool,
    months: Months,
    doorbells: Doorbells,
    /// Whether a commit rings for other processes.
    rings: bool,
    migrations: MigrationReport,
    server_version: String,
}

impl PostgresStore {
    /// Opens a database; for writing, makes the schema where one is named, and migrates it where needed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &str, options: &OpenOptions) -> Result<Self, OpenError> {
        let opened = connect::open(url, options).await?;
        Ok(Self {
            url: DatabaseUrl::Postgres(url.to_owned()).to_string(),
            access: options.access,
            writer: Writer::new(options.access, opened.writer),
            writer_options: opened.writer_options,
            readers: opened.readers,
            months: Months::default(),
            doorbells: Doorbells::new(opened.listener_options),
            rings: options.doorbell,
            migrations: opened.migrations,
            server_version: opened.server_version,
        })
    }

    /// What opening migrated, and the schema's version.
    pub const fn migrations(&self) -> &MigrationReport {
        &self.migrations
    }

    /// The server's version when the database was opened.
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// Where, without the password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The settings that durability and the contract rest on: name and value, as the writer has them;
    /// in a read-only handle, as a reader has them.
    ///
    /// # Errors
    /// As the store says.
    pub async fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let names = SETTINGS.iter().map(|name| Value::Text((*name).to_owned())).collect();
        let sql = include_str!("sql/settings.sql").into();
        let statement = Statement { sql, args: vec![Arg::Many(ColumnKind::Text, names)] };
        let columns =
            [Column::required("name", ColumnKind::Text), Column::required("setting", ColumnKind::Text)];
        let rows = match self.access {
            Access::Read => read::fetch(&self.readers, statement, &columns).await?,
            Access::Write => self.session().await?.fetch(statement, &columns).await?,
        };
        let setting = |row: Row| match <[Value; 2]>::try_from(row.0) {
            Ok([Value::Text(name), Value::Text(setting)]) => Ok((name, setting)),
            _ => Err(StoreError::Broken("a setting of the server is no text".to_owned())),
        };
        rows.into_iter().map(setting).collect()
    }

    /// Makes the partitions of the month of `at` and of `months_ahead` more; answers how many were missing.
    ///
    /// # Errors
    /// As the store says.
    pub async fn ensure_partitions(&self, months_ahead: u16, at: Timestamp) -> Result<u32, StoreError> {
        let mut made = 0;
        for make in months::MAKE {
            let statement = months::make(make, i64::from(months_ahead), at);
            made += integer(self.session().await?.fetch(statement, &INTEGER).await?)?;
        }
        u32::try_from(made).map_err(|_| StoreError::Broken("a count of partitions is negative".to_owned()))
    }

    /// How many months, from the month of `at` on and without a gap, have their partitions.
    ///
    /// # Errors
    /// As the store says.
    pub async fn partition_coverage(&self, at: Timestamp) -> Result<i32, StoreError> {
        let sql = include_str!("sql/check_partition_coverage.sql");
        let statement = Statement::fixed(sql, [Value::Timestamp(at)]);
        let covered = integer(read::fetch(&self.readers, statement, &INTEGER).await?)?;
        i32::try_from(covered)
            .map_err(|_| StoreError::Broken("a count of partitions is too large".to_owned()))
    }

    /// The next version of a stream, for tools; the writer compares and sets.
    ///
    /// # Errors
    /// As the store says.
    pub async fn next_seq(&self, tenant: TenantId, stream: &StreamKey) -> Result<i64, StoreError> {
        let values = [Value::Text(stream.to_string()), Value::Uuid(tenant.0)];
        let statement = Statement::fixed(include_str!("sql/next_seq.sql"), values);
        integer(self.session().await?.fetch(statement, &INTEGER).await?)
    }

    /// Makes a table that no migration makes, for tests of projections that bring their own.
    ///
    /// # Errors
    /// As the store says.
    #[doc(hidden)]
    pub async fn create_table(&self, table: &'static Table) -> Result<(), StoreError> {
        self.session().await?.run(statement::create_table(Dialect::Postgres, table)).await
    }

    /// Runs one statement as any other program could, for tests that tamper.
    ///
    /// # Errors
    /// What the server says.
    #[doc(hidden)]
    pub async fn execute_foreign(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let options = self.writer_options.clone().application_name("foreign");
        let mut connection = connect::connect(&options).await?;
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
        connection.close().await?;
        Ok(done.rows_affected())
    }

    /// Takes every connection that reads, until the answer is dropped, for tests.
    ///
    /// # Errors
    /// What the server says.
    #[doc(hidden)]
    pub async fn hold_readers(&self) -> Result<impl Send + use<>, sqlx::Error> {
        read::hold_all(&self.readers).await
    }

    async fn session(&self) -> Result<Session<'_, Postgres>, StoreError> {
        let connect = async {
            let connection = connect::connect(&self.writer_options).await;
            connection.map_err(|error| store_error::<Postgres>(&error))
        };
        self.writer.session(connect).await
    }
}

const INTEGER: [Column; 1] = [Column::required("count", ColumnKind::Integer)];

/// The one integer of an answer.
fn integer(rows: Vec<Row>) -> Result<i64, StoreError> {
    match rows.into_iter().next().map(|row| row.0).as_deref() {
        Some([Value::Integer(integer)]) => Ok(*integer),
        other => Err(StoreError::Broken(format!("the server answered {other:?}, not an integer"))),
    }
}

impl Store for PostgresStore {
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
        let mut session = self.session().await.map_err(unavailable)?;
        let made = self.months.make_missing(&mut session.connection, batch).await;
        made.map_err(|error| commit_error::<Postgres>(&error))?;
        let ring = self.rings.then(|| listener::ring(batch.tenant, batch.after.log_seq));
        let committed = commit::commit(session, batch, ring).await;
        if committed.is_ok() {
            self.doorbells.bells.ring(batch.tenant, batch.after.log_seq);
        }
        if matches!(committed, Err(CommitError::Unavailable(_) | CommitError::Broken(_))) {
            // What was known of the partitions may be what is wrong.
            self.months.forget();
        }
        committed
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
        self.doorbells.listen(tenant)
    }

    async fn close(&self) {
        self.doorbells.close();
        self.writer.close(&self.readers).await;
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use robson_eventlog::Direction;
    use sqlx::Row as _;

    use super::*;
    use crate::testing::TestDatabase;
    use robson_eventlog::log_tables::{EVENT_IDEMPOTENCY, STREAM_STATE};

    /// How the server runs a statement when it has a choice.
    async fn plan(store: &PostgresStore, statement: Statement<'_>) -> String {
        let mut session = store.session().await.unwrap();
        sqlx::query("SET enable_seqscan = off").execute(&mut session.connection).await.unwrap();
        let explain = Statement { sql: format!("EXPLAIN {}", statement.sql).into(), ..statement };
        let rows = value::query(explain).fetch_all(&mut session.connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn hot_statements_use_their_index() {
        let server = robson_testkit::test_database_url().unwrap();
        let database = TestDatabase::create(&server).await.unwrap();
        let store = PostgresStore::open(database.url(), &OpenOptions::default()).await.unwrap();
        store.ensure_partitions(2, Timestamp::EPOCH).await.unwrap();
        let tenant = TenantId(uuid::Uuid::nil());
        let all = EventQuery { after: 7, ..EventQuery::all(tenant) };
        let backward = EventQuery { direction: Direction::Backward, limit: 1, ..EventQuery::all(tenant) };
        let stream = EventQuery { after: 7, ..EventQuery::stream(tenant, "order:1".parse().unwrap()) };
        let trace = EventQuery { trace_id: Some(uuid::Uuid::nil()), ..EventQuery::all(tenant) };
        for (index, query) in
            [("log_seq", all), ("log_seq", backward), ("stream_key", stream), ("trace", trace)]
        {
            let plan = plan(&store, statement::select_events(Dialect::Postgres, &query)).await;
            let is_used = plan.lines().any(|line| line.contains("Scan") && line.contains(index));
            assert!(is_used && !plan.contains("Seq Scan on event_log"), "{index}: {plan}");
        }
        let keys = RowQuery::keys(vec![vec![Value::Text("a".to_owned())]]);
        for table in [&EVENT_IDEMPOTENCY, &STREAM_STATE] {
            let [statement] = statement::select(Dialect::Postgres, tenant, table, &keys).try_into().unwrap();
            let plan = plan(&store, statement).await;
            assert!(plan.contains(&format!("{}_pkey", table.name)) && !plan.contains("Seq Scan"), "{plan}");
        }
        store.close().await;
    }
}
