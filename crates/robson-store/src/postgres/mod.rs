//! PostgreSQL: one writer connection, a pool of readers, the log partitioned by month.
//!
//! Decides nothing: it binds, runs and reads SQL.

mod connect;
mod value;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use robson_eventlog::snapshot::SNAPSHOTS;
use robson_eventlog::{
    AcquireError, Batch, ChainHash, Checkpoint, CommitError, DedupeHit, DedupeKey, EventQuery, Head, Lease,
    Page, Receipt, Row, RowQuery, Snapshot, Store, StoreError, StreamKey, StreamMove, StreamVersion, Table,
    TenantId, Timestamp, Value, WriterId,
};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgQueryResult, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::sync::{Mutex, MutexGuard};

use crate::open::{Access, DatabaseUrl, OpenError, OpenOptions};
use crate::sql::events;
use crate::sql::migrate::MigrationReport;
use crate::sql::statement::{self, Dialect, OnConflict, Statement};
use crate::sql::tables::{EVENT_IDEMPOTENCY, EVENT_LOG, PROJECTION_CHECKPOINTS, STREAM_STATE};
use value::PgQuery;

/// The server's default isolation and access mode are somebody else's choice.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

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
    writer: Mutex<Writer>,
    writer_options: PgConnectOptions,
    readers: PgPool,
    migrations: MigrationReport,
    server_version: String,
}

#[derive(Debug)]
struct Writer {
    /// Away while it is in use; whoever does not bring it back in order loses it.
    connection: Option<PgConnection>,
    is_closed: bool,
    /// The months whose partitions are known to exist.
    log_months: BTreeSet<Month>,
    snapshot_months: BTreeSet<Month>,
}

/// A year and a month, in UTC.
type Month = (i32, u32);

fn month(at: Timestamp) -> Month {
    let at = at.to_datetime();
    (at.year(), at.month())
}

/// The writer's connection in use. Dropping it drops the connection, and with that the server rolls back
/// what was open: so a future that is dropped midway leaves nothing behind.
struct Session<'a> {
    writer: MutexGuard<'a, Writer>,
    connection: PgConnection,
}

impl Session<'_> {
    /// Keeps the connection for the next use; no transaction is open.
    fn keep(mut self) {
        self.writer.connection = Some(self.connection);
    }

    async fn execute(mut self, query: PgQuery) -> Result<PgQueryResult, sqlx::Error> {
        let done = query.execute(&mut self.connection).await?;
        self.keep();
        Ok(done)
    }

    async fn fetch_optional(mut self, query: PgQuery) -> Result<Option<PgRow>, sqlx::Error> {
        let row = query.fetch_optional(&mut self.connection).await?;
        self.keep();
        Ok(row)
    }

    /// Makes the partitions that the batch needs, outside its transaction.
    async fn make_months(&mut self, batch: &Batch) -> Result<(), sqlx::Error> {
        let log = batch.events.iter().map(|event| event.ingested_at);
        let known = &mut self.writer.log_months;
        let make = include_str!("sql/create_event_log_partitions.sql");
        make_months(&mut self.connection, known, log, make).await?;
        let snapshots = batch.snapshots.iter().map(|snapshot| snapshot.created_at);
        let known = &mut self.writer.snapshot_months;
        let make = include_str!("sql/create_snapshot_partitions.sql");
        make_months(&mut self.connection, known, snapshots, make).await
    }
}

async fn make_months(
    connection: &mut PgConnection,
    known: &mut BTreeSet<Month>,
    instants: impl Iterator<Item = Timestamp>,
    make: &'static str,
) -> Result<(), sqlx::Error> {
    for at in instants {
        if !known.contains(&month(at)) {
            sqlx::query(make).bind(0_i32).bind(at.to_datetime()).execute(&mut *connection).await?;
            known.insert(month(at));
        }
    }
    Ok(())
}

impl PostgresStore {
    /// Opens a database; for writing, makes the schema where one is named, and migrates it where needed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &str, options: &OpenOptions) -> Result<Self, OpenError> {
        let opened = connect::open(url, options).await?;
        let writer = Writer {
            connection: opened.writer,
            is_closed: false,
            log_months: BTreeSet::new(),
            snapshot_months: BTreeSet::new(),
        };
        Ok(Self {
            url: DatabaseUrl::Postgres(url.to_owned()).to_string(),
            access: options.access,
            writer: Mutex::new(writer),
            writer_options: opened.writer_options,
            readers: opened.readers,
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
        let names: Vec<String> = SETTINGS.iter().map(ToString::to_string).collect();
        let query = sqlx::query(include_str!("sql/settings.sql")).bind(names);
        let rows = match self.access {
            Access::Read => query.fetch_all(&self.readers).await,
            Access::Write => {
                let mut session = self.session().await?;
                let rows = query.fetch_all(&mut session.connection).await;
                if rows.is_ok() {
                    session.keep();
                }
                rows
            }
        };
        let rows = rows.map_err(|error| read_error(&error))?;
        rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
    }

    /// Makes the partitions of the month of `at` and of `months_ahead` more; answers how many were missing.
    ///
    /// # Errors
    /// As the store says.
    pub async fn ensure_partitions(&self, months_ahead: u16, at: Timestamp) -> Result<u32, StoreError> {
        let mut made = 0;
        for make in [
            include_str!("sql/create_event_log_partitions.sql"),
            include_str!("sql/create_snapshot_partitions.sql"),
        ] {
            let query = sqlx::query(make).bind(i32::from(months_ahead)).bind(at.to_datetime());
            let row =
                self.session().await?.fetch_optional(query).await.map_err(|error| read_error(&error))?;
            made += row.map_or(Ok(0), |row| get::<i32>(&row, 0))?;
        }
        u32::try_from(made).map_err(|_| StoreError::Broken("a count of partitions is negative".to_owned()))
    }

    /// How many months, from the month of `at` on and without a gap, have their partitions.
    ///
    /// # Errors
    /// As the store says.
    pub async fn partition_coverage(&self, at: Timestamp) -> Result<i32, StoreError> {
        let query = || sqlx::query(include_str!("sql/check_partition_coverage.sql")).bind(at.to_datetime());
        get(&self.fetch_one(query).await?, 0)
    }

    /// The next version of a stream, for tools; the writer compares and sets.
    ///
    /// # Errors
    /// As the store says.
    pub async fn next_seq(&self, tenant: TenantId, stream: &StreamKey) -> Result<i64, StoreError> {
        let query = sqlx::query(include_str!("sql/next_seq.sql")).bind(stream.to_string()).bind(tenant.0);
        let row = self.session().await?.fetch_optional(query).await.map_err(|error| read_error(&error))?;
        get(&row.ok_or(StoreError::UnknownTenant(tenant))?, 0)
    }

    /// Makes a table that no migration makes, for tests of projections that bring their own.
    ///
    /// # Errors
    /// As the store says.
    #[doc(hidden)]
    pub async fn create_table(&self, table: &'static Table) -> Result<(), StoreError> {
        let query = value::query(statement::create_table(Dialect::Postgres, table));
        self.session().await?.execute(query).await.map(|_| ()).map_err(|error| read_error(&error))
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
        let mut held = Vec::new();
        for _ in 0..self.readers.options().get_max_connections() {
            held.push(self.readers.acquire().await?);
        }
        Ok(held)
    }

    /// The writer's connection, made anew where it was lost.
    async fn session(&self) -> Result<Session<'_>, StoreError> {
        let mut writer = self.writer.lock().await;
        if writer.is_closed {
            return Err(StoreError::Closed);
        }
        if self.access == Access::Read {
            return Err(StoreError::Unavailable("the handle was opened for reading only".into()));
        }
        let connection = match writer.connection.take() {
            Some(connection) => connection,
            None => connect::connect(&self.writer_options).await.map_err(|error| read_error(&error))?,
        };
        Ok(Session { writer, connection })
    }

    /// Reads; a connection that was lost while it lay idle is replaced and the read sent again.
    async fn fetch_all(&self, query: impl Fn() -> PgQuery) -> Result<Vec<PgRow>, StoreError> {
        let mut attempts_left = self.readers.options().get_max_connections();
        loop {
            match query().fetch_all(&self.readers).await {
                Err(error) if attempts_left > 0 && is_connection_lost(&error) => attempts_left -= 1,
                result => return result.map_err(|error| read_error(&error)),
            }
        }
    }

    async fn fetch_optional(&self, query: impl Fn() -> PgQuery) -> Result<Option<PgRow>, StoreError> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    async fn fetch_one(&self, query: impl Fn() -> PgQuery) -> Result<PgRow, StoreError> {
        let row = self.fetch_optional(query).await?;
        row.ok_or_else(|| StoreError::Broken("the server answered no row".to_owned()))
    }

    async fn fetch(&self, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        self.fetch_all(|| value::query(statement.clone())).await
    }

    async fn fetch_rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for statement in statement::select(Dialect::Postgres, tenant, table, query) {
            for row in self.fetch(statement).await? {
                rows.push(value::row(&row, 0, table.columns)?);
            }
        }
        Ok(rows)
    }

    async fn commit_batch(&self, batch: &Batch) -> Result<Receipt, CommitError> {
        let mut session = self.session().await.map_err(|error| CommitError::Unavailable(Box::new(error)))?;
        if let Err(error) = session.make_months(batch).await {
            return Err(commit_error(&error));
        }
        let mut tx = session.connection.begin_with(BEGIN).await.map_err(|error| commit_error(&error))?;
        match write(&mut tx, batch).await {
            Ok(()) => tx.commit().await.map_err(|error| CommitError::Unavailable(Box::new(error)))?,
            Err(refusal @ (CommitError::Stale | CommitError::Fenced)) => {
                if tx.rollback().await.is_ok() {
                    session.keep();
                }
                return Err(refusal);
            }
            Err(error) => {
                drop(tx);
                // What was known of the partitions may be what is wrong.
                session.writer.log_months.clear();
                session.writer.snapshot_months.clear();
                return Err(error);
            }
        }
        session.keep();
        Ok(Receipt { head: batch.after })
    }
}

/// Everything of a batch, in the open transaction.
async fn write(tx: &mut PgConnection, batch: &Batch) -> Result<(), CommitError> {
    move_head(tx, batch).await?;
    if let Some(flaw) = batch.flaw() {
        return Err(CommitError::Broken(flaw));
    }
    let tenant = batch.tenant;
    let dedupe: Vec<Row> = batch.dedupe.iter().map(events::dedupe_row).collect();
    insert_new(tx, tenant, &EVENT_IDEMPOTENCY, &dedupe).await?;
    move_streams(tx, batch).await?;
    let log: Vec<Row> = batch.events.iter().map(events::event_row).collect();
    insert_new(tx, tenant, &EVENT_LOG, &log).await?;
    for change in &batch.rows {
        insert(tx, tenant, change.table, &change.rows, OnConflict::Replace).await?;
    }
    let snapshots: Vec<Row> = batch.snapshots.iter().map(Snapshot::to_row).collect();
    insert(tx, tenant, &SNAPSHOTS, &snapshots, OnConflict::Replace).await?;
    for moved in &batch.checkpoints {
        let query = sqlx::query(include_str!("../sql/move_checkpoint.sql"))
            .bind(tenant.0)
            .bind(moved.name.clone())
            .bind(moved.from)
            .bind(moved.to)
            .bind(moved.generation);
        require(query.execute(&mut *tx).await, 1)?;
    }
    Ok(())
}

async fn move_head(tx: &mut PgConnection, batch: &Batch) -> Result<(), CommitError> {
    let query = sqlx::query(include_str!("../sql/move_head.sql"))
        .bind(batch.tenant.0)
        .bind(batch.epoch)
        .bind(batch.before.log_seq)
        .bind(batch.after.log_seq)
        .bind(batch.after.chain_hash.0.to_vec())
        .bind(batch.after.ingested_at.to_datetime());
    let moved = query.execute(&mut *tx).await.map_err(|error| commit_error(&error))?;
    if moved.rows_affected() == 1 {
        return Ok(());
    }
    let epoch = sqlx::query(include_str!("../sql/head.sql")).bind(batch.tenant.0).fetch_optional(tx).await;
    match epoch.map_err(|error| commit_error(&error))? {
        Some(row) if row.try_get::<i64, _>(0).ok() == Some(batch.epoch) => Err(CommitError::Stale),
        _ => Err(CommitError::Fenced),
    }
}

async fn move_streams(tx: &mut PgConnection, batch: &Batch) -> Result<(), CommitError> {
    let (old, new): (Vec<_>, Vec<_>) = batch.streams.iter().partition(|moved| moved.expected_seq > 0);
    let (absent, new): (Vec<_>, Vec<_>) = new.into_iter().partition(|moved| moved.last_seq == 0);
    require_absent(tx, batch.tenant, &absent).await?;
    let new: Vec<Row> = new.into_iter().map(events::new_stream_row).collect();
    insert_new(tx, batch.tenant, &STREAM_STATE, &new).await?;
    if old.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(include_str!("sql/advance_streams.sql"))
        .bind(batch.tenant.0)
        .bind(old.iter().map(|moved| moved.stream.to_string()).collect::<Vec<_>>())
        .bind(old.iter().map(|moved| moved.expected_seq).collect::<Vec<_>>())
        .bind(old.iter().map(|moved| moved.last_seq).collect::<Vec<_>>());
    require(query.execute(tx).await, old.len())
}

/// Streams that are asserted not to exist, and are not written.
async fn require_absent(
    tx: &mut PgConnection,
    tenant: TenantId,
    streams: &[&StreamMove],
) -> Result<(), CommitError> {
    if streams.is_empty() {
        return Ok(());
    }
    let keys = streams.iter().map(|moved| vec![Value::Text(moved.stream.to_string())]).collect();
    for statement in statement::select(Dialect::Postgres, tenant, &STREAM_STATE, &RowQuery::keys(keys)) {
        let found = value::query(statement).fetch_optional(&mut *tx).await;
        if found.map_err(|error| commit_error(&error))?.is_some() {
            return Err(CommitError::Stale);
        }
    }
    Ok(())
}

async fn insert_new(
    tx: &mut PgConnection,
    tenant: TenantId,
    table: &'static Table,
    rows: &[Row],
) -> Result<(), CommitError> {
    let affected = insert(tx, tenant, table, rows, OnConflict::Keep).await?;
    // A key that was there means a second writer: whatever the batch was computed from is gone.
    if affected == rows.len() as u64 { Ok(()) } else { Err(CommitError::Stale) }
}

async fn insert(
    tx: &mut PgConnection,
    tenant: TenantId,
    table: &'static Table,
    rows: &[Row],
    on_conflict: OnConflict,
) -> Result<u64, CommitError> {
    let mut affected = 0;
    for statement in statement::insert(Dialect::Postgres, tenant, table, rows, on_conflict) {
        let done = value::query(statement).execute(&mut *tx).await.map_err(|error| commit_error(&error))?;
        affected += done.rows_affected();
    }
    Ok(affected)
}

fn require(done: Result<PgQueryResult, sqlx::Error>, rows: usize) -> Result<(), CommitError> {
    let affected = done.map_err(|error| commit_error(&error))?.rows_affected();
    if affected == rows as u64 { Ok(()) } else { Err(CommitError::Stale) }
}

impl Store for PostgresStore {
    async fn register(&self, tenant: TenantId) -> Result<(), StoreError> {
        let query = sqlx::query(include_str!("../sql/register.sql"))
            .bind(tenant.0)
            .bind(Head::EMPTY.chain_hash.0.to_vec())
            .bind(Head::EMPTY.ingested_at.to_datetime());
        self.session().await?.execute(query).await.map(|_| ()).map_err(|error| read_error(&error))
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let rows = self.fetch_all(|| sqlx::query(include_str!("../sql/tenants.sql"))).await?;
        rows.iter().map(|row| get(row, 0).map(TenantId)).collect()
    }

    /// Waits for the row lock of an older transaction that is still open, so that its outcome is known
    /// once the epoch was bumped.
    async fn acquire(
        &self,
        tenant: TenantId,
        writer_id: &WriterId,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        let query = sqlx::query(include_str!("sql/acquire.sql"))
            .bind(tenant.0)
            .bind(writer_id.as_str().to_owned())
            .bind(millis(ttl));
        let row = self.session().await?.fetch_optional(query).await.map_err(|error| read_error(&error))?;
        if let Some(row) = row {
            let (epoch, head) = epoch_and_head(&row)?;
            return Ok(Lease { tenant, writer: writer_id.clone(), epoch, head });
        }
        let query = || sqlx::query(include_str!("sql/holder.sql")).bind(tenant.0);
        let row = self.fetch_optional(query).await?.ok_or(StoreError::UnknownTenant(tenant))?;
        let until: Option<DateTime<Utc>> = get(&row, 1)?;
        let until = until.and_then(|at| Timestamp::try_from(at).ok());
        Err(AcquireError::Held { writer: get(&row, 0)?, until })
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
        let query = sqlx::query(include_str!("sql/renew.sql"))
            .bind(lease.tenant.0)
            .bind(lease.epoch)
            .bind(millis(ttl));
        let session = self.session().await.map_err(|error| CommitError::Unavailable(Box::new(error)))?;
        fenced_unless_one(session.execute(query).await)
    }

    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        let query = sqlx::query(include_str!("../sql/release.sql")).bind(lease.tenant.0).bind(lease.epoch);
        let session = self.session().await.map_err(|error| CommitError::Unavailable(Box::new(error)))?;
        fenced_unless_one(session.execute(query).await)
    }

    async fn commit(&self, batch: &Batch) -> Result<Receipt, CommitError> {
        self.commit_batch(batch).await
    }

    async fn lookup(&self, tenant: TenantId, keys: &[DedupeKey]) -> Result<Vec<DedupeHit>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys = keys.iter().map(|key| vec![Value::Text(key.to_string())]).collect();
        let rows = self.fetch_rows(tenant, &EVENT_IDEMPOTENCY, &RowQuery::keys(keys)).await?;
        rows.into_iter().map(events::dedupe_hit).collect()
    }

    async fn streams(&self, tenant: TenantId, keys: &[StreamKey]) -> Result<Vec<StreamVersion>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys = keys.iter().map(|key| vec![Value::Text(key.to_string())]).collect();
        let rows = self.fetch_rows(tenant, &STREAM_STATE, &RowQuery::keys(keys)).await?;
        rows.into_iter().map(events::stream_version).collect()
    }

    async fn read(&self, query: &EventQuery) -> Result<Page, StoreError> {
        let rows = self.fetch(statement::select_events(Dialect::Postgres, query)).await?;
        let first = rows.first().ok_or(StoreError::UnknownTenant(query.tenant))?;
        let mut page = Page {
            events: Vec::with_capacity(rows.len()),
            head: get(first, 0)?,
            stream_version: get(first, 1)?,
        };
        for row in &rows {
            let place: Option<i64> = get(row, 2)?;
            if place.is_some() {
                page.events.push(events::event_of(query.tenant, value::row(row, 2, EVENT_LOG.columns)?)?);
            }
        }
        Ok(page)
    }

    async fn rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        self.fetch_rows(tenant, table, query).await
    }

    async fn head(&self, tenant: TenantId) -> Result<Head, StoreError> {
        let row = self.fetch_optional(|| sqlx::query(include_str!("../sql/head.sql")).bind(tenant.0)).await?;
        Ok(epoch_and_head(&row.ok_or(StoreError::UnknownTenant(tenant))?)?.1)
    }

    async fn checkpoint(&self, tenant: TenantId, name: &str) -> Result<Option<Checkpoint>, StoreError> {
        let query = RowQuery::keys(vec![vec![Value::Text(name.to_owned())]]);
        let rows = self.fetch_rows(tenant, &PROJECTION_CHECKPOINTS, &query).await?;
        rows.into_iter().next().map(events::checkpoint).transpose()
    }

    async fn snapshot(
        &self,
        tenant: TenantId,
        scope: &str,
        scope_id: &str,
        up_to: i64,
    ) -> Result<Option<Snapshot>, StoreError> {
        let query = || {
            sqlx::query(include_str!("../sql/snapshot.sql"))
                .bind(tenant.0)
                .bind(scope.to_owned())
                .bind(scope_id.to_owned())
                .bind(up_to)
        };
        let Some(row) = self.fetch_optional(query).await? else { return Ok(None) };
        let snapshot = Snapshot::from_row(value::row(&row, 0, SNAPSHOTS.columns)?);
        snapshot.map(Some).ok_or_else(|| StoreError::Broken("a snapshot cannot be read".to_owned()))
    }

    async fn close(&self) {
        let connection = {
            let mut writer = self.writer.lock().await;
            writer.is_closed = true;
            writer.connection.take()
        };
        self.readers.close().await;
        if let Some(connection) = connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the connection did not close cleanly; the log is safe");
        }
    }
}

fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)
}

fn fenced_unless_one(done: Result<PgQueryResult, sqlx::Error>) -> Result<(), CommitError> {
    match done.map_err(|error| commit_error(&error))?.rows_affected() {
        1 => Ok(()),
        _ => Err(CommitError::Fenced),
    }
}

fn get<'r, T>(row: &'r PgRow, index: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(index).map_err(|error| StoreError::Broken(error.to_string()))
}

fn epoch_and_head(row: &PgRow) -> Result<(i64, Head), StoreError> {
    let hash: Vec<u8> = get(row, 2)?;
    let at: DateTime<Utc> = get(row, 3)?;
    let head = Head {
        log_seq: get(row, 1)?,
        chain_hash: ChainHash::from_slice(&hash)
            .ok_or_else(|| StoreError::Broken("log_head.chain_hash is not 32 bytes".to_owned()))?,
        ingested_at: at
            .try_into()
            .map_err(|_| StoreError::Broken("log_head.ingested_at is no instant".to_owned()))?,
    };
    Ok((get(row, 0)?, head))
}

fn read_error(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolClosed => StoreError::Closed,
        error if is_broken(error) => StoreError::Broken(error.to_string()),
        error => StoreError::Unavailable(error.to_string().into()),
    }
}

/// An error before COMMIT: nothing was written.
fn commit_error(error: &sqlx::Error) -> CommitError {
    if is_broken(error) {
        CommitError::Broken(error.to_string())
    } else {
        CommitError::Unavailable(error.to_string().into())
    }
}

/// What no repetition makes better. Everything else passes: locks, timeouts, restarts, lost connections.
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // Data, one row twice, constraints, names and rights, a trigger's refusal, corrupted files.
            ["21", "22", "23", "42", "P0", "XX"].iter().any(|class| code.starts_with(class))
        }
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}

fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        // The server is shutting down, or somebody ended the session.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use robson_eventlog::Direction;

    use super::*;
    use crate::testing::TestDatabase;

    /// How the server runs a statement when it has a choice.
    async fn plan(store: &PostgresStore, statement: Statement) -> String {
        let mut session = store.session().await.unwrap();
        sqlx::query("SET enable_seqscan = off").execute(&mut session.connection).await.unwrap();
        let explain = Statement { sql: format!("EXPLAIN {}", statement.sql), ..statement };
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
