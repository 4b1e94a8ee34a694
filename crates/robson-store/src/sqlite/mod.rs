//! SQLite: one file, one writing process, one writer connection with `BEGIN IMMEDIATE`, read-only readers.
//!
//! Decides nothing: it binds, runs and reads SQL.

mod connect;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use robson_eventlog::snapshot::SNAPSHOTS;
use robson_eventlog::{
    AcquireError, Batch, ChainHash, Checkpoint, CommitError, DedupeHit, DedupeKey, EventQuery, Head, Lease,
    Page, Receipt, Row, RowQuery, Snapshot, Store, StoreError, StreamKey, StreamMove, StreamVersion, Table,
    TenantId, Value, WriterId,
};
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteQueryResult, SqliteRow};
use sqlx::{Connection as _, Row as _};
use tokio::sync::{Mutex, MutexGuard};

use crate::open::{Access, OpenError, OpenOptions};
use crate::sql::events;
use crate::sql::migrate::MigrationReport;
use crate::sql::statement::{self, Dialect, OnConflict, Statement};
use crate::sql::tables::{EVENT_IDEMPOTENCY, EVENT_LOG, PROJECTION_CHECKPOINTS, STREAM_STATE};
use value::SqliteQuery;

/// A SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    options: OpenOptions,
    writer: Arc<Mutex<Writer>>,
    readers: SqlitePool,
    migrations: MigrationReport,
}

#[derive(Debug)]
struct Writer {
    /// Away while it is in use; whoever does not bring it back in order loses it.
    connection: Option<SqliteConnection>,
    /// Held until the store is closed or dropped; none in a read-only handle.
    lock: Option<Arc<connect::WriteLock>>,
    is_closed: bool,
}

/// The writer's connection in use. Dropping it closes the connection, which rolls back what was open: so a
/// future that is dropped midway leaves nothing behind, and no connection is trusted after an error.
struct Session<'a> {
    writer: MutexGuard<'a, Writer>,
    connection: SqliteConnection,
}

impl Session<'_> {
    /// Keeps the connection for the next use; no transaction is open.
    fn keep(mut self) {
        self.writer.connection = Some(self.connection);
    }

    async fn execute(mut self, query: SqliteQuery) -> Result<SqliteQueryResult, sqlx::Error> {
        let done = query.execute(&mut self.connection).await?;
        self.keep();
        Ok(done)
    }

    async fn fetch_optional(mut self, query: SqliteQuery) -> Result<Option<SqliteRow>, sqlx::Error> {
        let row = query.fetch_optional(&mut self.connection).await?;
        self.keep();
        Ok(row)
    }
}

impl SqliteStore {
    /// Opens a file; for writing, makes and migrates it where needed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let opened = connect::open(&path, options).await?;
        let writer = Writer { connection: opened.writer, lock: opened.lock, is_closed: false };
        Ok(Self {
            path,
            options: options.clone(),
            writer: Arc::new(Mutex::new(writer)),
            readers: opened.readers,
            migrations: opened.migrations,
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
        query.fetch_one(&self.readers).await.map_err(|error| read_error(&error))
    }

    /// The pragmas that durability rests on: name and value, as the writer has them; in a read-only
    /// handle, as a reader has them.
    ///
    /// # Errors
    /// As the store says.
    pub async fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let pragmas = match self.options.access {
            Access::Read => {
                let mut reader = self.readers.acquire().await.map_err(|error| read_error(&error))?;
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
        let pragmas = pragmas.map_err(|error| read_error(&error))?;
        Ok(pragmas.into_iter().map(|(name, _, value)| (name.to_owned(), value)).collect())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a table that no migration makes, for tests of projections that bring their own.
    ///
    /// # Errors
    /// As the store says.
    #[doc(hidden)]
    pub async fn create_table(&self, table: &'static Table) -> Result<(), StoreError> {
        let query = value::query(statement::create_table(Dialect::Sqlite, table));
        self.session().await?.execute(query).await.map(|_| ()).map_err(|error| read_error(&error))
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
        if self.options.access == Access::Read {
            return Err(StoreError::Unavailable("the handle was opened for reading only".into()));
        }
        let connection = match writer.connection.take() {
            Some(connection) => connection,
            None => connect::reconnect(&self.path, &self.options)
                .await
                .map_err(|error| StoreError::Unavailable(Box::new(error)))?,
        };
        Ok(Session { writer, connection })
    }

    async fn fetch(&self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        value::query(statement).fetch_all(&self.readers).await.map_err(|error| read_error(&error))
    }

    async fn fetch_rows(
        &self,
        tenant: TenantId,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for statement in statement::select(Dialect::Sqlite, tenant, table, query) {
            for row in self.fetch(statement).await? {
                rows.push(value::row(&row, 0, table.columns)?);
            }
        }
        if let Some(limit) = query.limit {
            rows.truncate(limit);
        }
        Ok(rows)
    }

    async fn commit_batch(&self, batch: &Batch) -> Result<Receipt, CommitError> {
        let mut session = self.session().await.map_err(|error| CommitError::Unavailable(Box::new(error)))?;
        let begun = session.connection.begin_with("BEGIN IMMEDIATE").await;
        let mut tx = begun.map_err(|error| commit_error(&error))?;
        match write(&mut tx, batch).await {
            Ok(()) => tx.commit().await.map_err(|error| CommitError::Unavailable(Box::new(error)))?,
            Err(refusal @ (CommitError::Stale | CommitError::Fenced)) => {
                if tx.rollback().await.is_ok() {
                    session.keep();
                }
                return Err(refusal);
            }
            Err(error) => return Err(error),
        }
        session.keep();
        Ok(Receipt { head: batch.after })
    }
}

/// Everything of a batch, in the open transaction.
async fn write(tx: &mut SqliteConnection, batch: &Batch) -> Result<(), CommitError> {
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
            .bind(tenant.0.hyphenated().to_string())
            .bind(moved.name.clone())
            .bind(moved.from)
            .bind(moved.to)
            .bind(moved.generation);
        require(query.execute(&mut *tx).await, 1)?;
    }
    Ok(())
}

async fn move_head(tx: &mut SqliteConnection, batch: &Batch) -> Result<(), CommitError> {
    let tenant = batch.tenant.0.hyphenated().to_string();
    let query = sqlx::query(include_str!("../sql/move_head.sql"))
        .bind(tenant.clone())
        .bind(batch.epoch)
        .bind(batch.before.log_seq)
        .bind(batch.after.log_seq)
        .bind(batch.after.chain_hash.0.to_vec())
        .bind(batch.after.ingested_at.to_string());
    let moved = query.execute(&mut *tx).await.map_err(|error| commit_error(&error))?;
    if moved.rows_affected() == 1 {
        return Ok(());
    }
    let epoch = sqlx::query(include_str!("../sql/head.sql")).bind(tenant).fetch_optional(tx).await;
    match epoch.map_err(|error| commit_error(&error))? {
        Some(row) if row.try_get::<i64, _>(0).ok() == Some(batch.epoch) => Err(CommitError::Stale),
        _ => Err(CommitError::Fenced),
    }
}

async fn move_streams(tx: &mut SqliteConnection, batch: &Batch) -> Result<(), CommitError> {
    let (old, new): (Vec<_>, Vec<_>) = batch.streams.iter().partition(|moved| moved.expected_seq > 0);
    let (absent, new): (Vec<_>, Vec<_>) = new.into_iter().partition(|moved| moved.last_seq == 0);
    require_absent(tx, batch.tenant, &absent).await?;
    let new: Vec<Row> = new.into_iter().map(events::new_stream_row).collect();
    insert_new(tx, batch.tenant, &STREAM_STATE, &new).await?;
    if old.is_empty() {
        return Ok(());
    }
    let moves: Vec<(&str, i64, i64)> =
        old.iter().map(|moved| (moved.stream.as_str(), moved.expected_seq, moved.last_seq)).collect();
    let query = sqlx::query(include_str!("sql/advance_streams.sql"))
        .bind(batch.tenant.0.hyphenated().to_string())
        .bind(sqlx::types::Json(moves));
    require(query.execute(tx).await, old.len())
}

/// Streams that are asserted not to exist, and are not written.
async fn require_absent(
    tx: &mut SqliteConnection,
    tenant: TenantId,
    streams: &[&StreamMove],
) -> Result<(), CommitError> {
    if streams.is_empty() {
        return Ok(());
    }
    let keys = streams.iter().map(|moved| vec![Value::Text(moved.stream.to_string())]).collect();
    for statement in statement::select(Dialect::Sqlite, tenant, &STREAM_STATE, &RowQuery::keys(keys)) {
        let found = value::query(statement).fetch_optional(&mut *tx).await;
        if found.map_err(|error| commit_error(&error))?.is_some() {
            return Err(CommitError::Stale);
        }
    }
    Ok(())
}

async fn insert_new(
    tx: &mut SqliteConnection,
    tenant: TenantId,
    table: &'static Table,
    rows: &[Row],
) -> Result<(), CommitError> {
    let affected = insert(tx, tenant, table, rows, OnConflict::Keep).await?;
    // A key that was there means a second writer: whatever the batch was computed from is gone.
    if affected == rows.len() as u64 { Ok(()) } else { Err(CommitError::Stale) }
}

async fn insert(
    tx: &mut SqliteConnection,
    tenant: TenantId,
    table: &'static Table,
    rows: &[Row],
    on_conflict: OnConflict,
) -> Result<u64, CommitError> {
    let mut affected = 0;
    for statement in statement::insert(Dialect::Sqlite, tenant, table, rows, on_conflict) {
        let done = value::query(statement).execute(&mut *tx).await.map_err(|error| commit_error(&error))?;
        affected += done.rows_affected();
    }
    Ok(affected)
}

fn require(done: Result<SqliteQueryResult, sqlx::Error>, rows: usize) -> Result<(), CommitError> {
    let affected = done.map_err(|error| commit_error(&error))?.rows_affected();
    if affected == rows as u64 { Ok(()) } else { Err(CommitError::Stale) }
}

impl Store for SqliteStore {
    async fn register(&self, tenant: TenantId) -> Result<(), StoreError> {
        let query = sqlx::query(include_str!("../sql/register.sql"))
            .bind(tenant.0.hyphenated().to_string())
            .bind(Head::EMPTY.chain_hash.0.to_vec())
            .bind(Head::EMPTY.ingested_at.to_string());
        self.session().await?.execute(query).await.map(|_| ()).map_err(|error| read_error(&error))
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let rows = sqlx::query(include_str!("../sql/tenants.sql")).fetch_all(&self.readers).await;
        let rows = rows.map_err(|error| read_error(&error))?;
        rows.iter()
            .map(|row| row.try_get::<String, _>(0).map_err(|error| read_error(&error)))
            .map(|text| text?.parse().map_err(|_| StoreError::Broken("a tenant's id is no UUID".to_owned())))
            .collect()
    }

    /// The file lock proves that no other process writes, so a lease is never waited for.
    async fn acquire(
        &self,
        tenant: TenantId,
        writer_id: &WriterId,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        let query = sqlx::query(include_str!("sql/acquire.sql"))
            .bind(tenant.0.hyphenated().to_string())
            .bind(writer_id.as_str().to_owned())
            .bind(seconds(ttl));
        let row = self.session().await?.fetch_optional(query).await.map_err(|error| read_error(&error))?;
        let (epoch, head) = epoch_and_head(&row.ok_or(StoreError::UnknownTenant(tenant))?)?;
        Ok(Lease { tenant, writer: writer_id.clone(), epoch, head })
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
        let query = sqlx::query(include_str!("sql/renew.sql"))
            .bind(lease.tenant.0.hyphenated().to_string())
            .bind(lease.epoch)
            .bind(seconds(ttl));
        let session = self.session().await.map_err(|error| CommitError::Unavailable(Box::new(error)))?;
        fenced_unless_one(session.execute(query).await)
    }

    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        let query = sqlx::query(include_str!("../sql/release.sql"))
            .bind(lease.tenant.0.hyphenated().to_string())
            .bind(lease.epoch);
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
        let rows = self.fetch(statement::select_events(Dialect::Sqlite, query)).await?;
        let first = rows.first().ok_or(StoreError::UnknownTenant(query.tenant))?;
        let mut page = Page {
            events: Vec::with_capacity(rows.len()),
            head: first.try_get(0).map_err(|error| read_error(&error))?,
            stream_version: first.try_get(1).map_err(|error| read_error(&error))?,
        };
        for row in &rows {
            let place: Option<i64> = row.try_get(2).map_err(|error| read_error(&error))?;
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
        let row = sqlx::query(include_str!("../sql/head.sql"))
            .bind(tenant.0.hyphenated().to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| read_error(&error))?;
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
        let row = sqlx::query(include_str!("../sql/snapshot.sql"))
            .bind(tenant.0.hyphenated().to_string())
            .bind(scope.to_owned())
            .bind(scope_id.to_owned())
            .bind(up_to)
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| read_error(&error))?;
        let Some(row) = row else { return Ok(None) };
        let snapshot = Snapshot::from_row(value::row(&row, 0, SNAPSHOTS.columns)?);
        snapshot.map(Some).ok_or_else(|| StoreError::Broken("a snapshot cannot be read".to_owned()))
    }

    async fn close(&self) {
        let (connection, lock) = {
            let mut writer = self.writer.lock().await;
            writer.is_closed = true;
            (writer.connection.take(), writer.lock.take())
        };
        self.readers.close().await;
        if let Some(connection) = connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database did not close cleanly; the log is safe");
        }
        // The next writer may begin once nothing of this one is left.
        drop(lock);
    }
}

fn seconds(ttl: Duration) -> String {
    format!("+{}.{:03} seconds", ttl.as_secs(), ttl.subsec_millis())
}

fn fenced_unless_one(done: Result<SqliteQueryResult, sqlx::Error>) -> Result<(), CommitError> {
    match done.map_err(|error| commit_error(&error))?.rows_affected() {
        1 => Ok(()),
        _ => Err(CommitError::Fenced),
    }
}

fn epoch_and_head(row: &SqliteRow) -> Result<(i64, Head), StoreError> {
    let broken = |_| StoreError::Broken("log_head cannot be read".to_owned());
    let hash: Vec<u8> = row.try_get(2).map_err(broken)?;
    let at: String = row.try_get(3).map_err(broken)?;
    let head = Head {
        log_seq: row.try_get(1).map_err(broken)?,
        chain_hash: ChainHash::from_slice(&hash)
            .ok_or_else(|| StoreError::Broken("log_head.chain_hash is not 32 bytes".to_owned()))?,
        ingested_at: at
            .parse()
            .map_err(|_| StoreError::Broken("log_head.ingested_at is no instant".to_owned()))?,
    };
    Ok((row.try_get(0).map_err(broken)?, head))
}

fn read_error(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolClosed => StoreError::Closed,
        error => match primary_code(error) {
            // Corrupt, or not a database.
            Some(11 | 26) => StoreError::Broken(error.to_string()),
            _ => StoreError::Unavailable(error.to_string().into()),
        },
    }
}

/// An error before COMMIT: nothing was written.
fn commit_error(error: &sqlx::Error) -> CommitError {
    match primary_code(error) {
        // A constraint, a type, a datum too large, a missing table: content that the database refuses.
        Some(1 | 11 | 18 | 19 | 20 | 26) => CommitError::Broken(error.to_string()),
        _ => CommitError::Unavailable(error.to_string().into()),
    }
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?.parse::<u32>().ok()?;
    Some(code & 0xff)
}

#[cfg(test)]
mod tests {
    use robson_eventlog::Direction;

    use super::*;

    async fn plan(store: &SqliteStore, statement: Statement) -> String {
        let explain = Statement { sql: format!("EXPLAIN QUERY PLAN {}", statement.sql), ..statement };
        let rows = value::query(explain).fetch_all(&store.readers).await.unwrap();
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
