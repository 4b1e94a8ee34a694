//! What the database alone can do: one connection, statements prepared once, everything bound beforehand.
//!
//! The rows are those of the ledger, made before the round begins. On SQLite the whole transaction is one
//! text, so that the connection's thread is asked once for each commit.

use std::sync::Arc;
use std::time::Instant;

use futures_util::TryStreamExt as _;
use robson_eventlog::{
    Batch, ColumnKind, DedupeEntry, RecordedEvent, Store as _, StreamMove, Value, WriterId,
};
use robson_projector::orders_current;
use robson_store::DatabaseUrl;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Executor as _};

use crate::database::{Database, TENANT};
use crate::work::Maker;
use robson_testkit::measure::{Round, Task, Took};

/// The columns of a table and rows of it, without the tenant.
struct Rows {
    table: &'static str,
    columns: Vec<(&'static str, ColumnKind)>,
    rows: Vec<Vec<Value>>,
}

const DEDUPE: [(&str, ColumnKind); 4] = [
    ("dedupe_key", ColumnKind::Text),
    ("idempotency_key", ColumnKind::Text),
    ("event_id", ColumnKind::Text),
    ("log_seq", ColumnKind::Integer),
];
const STREAMS: [(&str, ColumnKind); 2] =
    [("stream_key", ColumnKind::Text), ("last_seq", ColumnKind::Integer)];
const LOG: [(&str, ColumnKind); 18] = [
    ("log_seq", ColumnKind::Integer),
    ("event_id", ColumnKind::Text),
    ("stream_key", ColumnKind::Text),
    ("seq", ColumnKind::Integer),
    ("event_type", ColumnKind::Text),
    ("payload_schema_version", ColumnKind::Integer),
    ("payload", ColumnKind::Json),
    ("occurred_at", ColumnKind::Timestamp),
    ("ingested_at", ColumnKind::Timestamp),
    ("idempotency_key", ColumnKind::Text),
    ("trace_id", ColumnKind::Uuid),
    ("causation_id", ColumnKind::Text),
    ("command_id", ColumnKind::Uuid),
    ("workflow_id", ColumnKind::Uuid),
    ("actor_type", ColumnKind::Text),
    ("actor_id", ColumnKind::Text),
    ("prev_hash", ColumnKind::Bytes),
    ("hash", ColumnKind::Bytes),
];

fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

fn log_row(event: &RecordedEvent) -> Vec<Value> {
    let trace = &event.trace;
    vec![
        Value::Integer(event.log_seq),
        text(event.event_id),
        text(&event.stream),
        Value::Integer(event.seq),
        text(&event.event_type),
        Value::Integer(event.schema_version),
        Value::Json(event.payload.clone()),
        Value::Timestamp(event.occurred_at),
        Value::Timestamp(event.ingested_at),
        text(&event.idempotency_key),
        trace.trace_id.map_or(Value::Null, Value::Uuid),
        trace.causation_id.map_or(Value::Null, text),
        trace.command_id.map_or(Value::Null, Value::Uuid),
        trace.workflow_id.map_or(Value::Null, Value::Uuid),
        text(event.actor.actor_type.as_str()),
        event.actor.id.clone().map_or(Value::Null, Value::Text),
        Value::Bytes(event.prev_hash.0.to_vec()),
        Value::Bytes(event.hash.0.to_vec()),
    ]
}

fn dedupe_row(entry: &DedupeEntry) -> Vec<Value> {
    let (event_id, log_seq) = entry.event.unwrap();
    vec![text(&entry.key), text(&entry.fingerprint), text(event_id), Value::Integer(log_seq)]
}

fn stream_row(moved: &StreamMove) -> Vec<Value> {
    vec![text(&moved.stream), Value::Integer(moved.last_seq)]
}

fn tables(batch: &Batch) -> [Rows; 4] {
    let orders = batch.rows.iter().find(|of| of.table.name == orders_current::TABLE.name).unwrap();
    let columns = orders.table.columns.iter().map(|column| (column.name, column.kind)).collect();
    let orders = orders.rows.iter().map(|row| row.0.clone()).collect();
    [
        Rows {
            table: "event_idempotency",
            columns: DEDUPE.to_vec(),
            rows: batch.dedupe.iter().map(dedupe_row).collect(),
        },
        Rows {
            table: "stream_state",
            columns: STREAMS.to_vec(),
            rows: batch.streams.iter().map(stream_row).collect(),
        },
        Rows { table: "event_log", columns: LOG.to_vec(), rows: batch.events.iter().map(log_row).collect() },
        Rows { table: orders_current::TABLE.name, columns, rows: orders },
    ]
}

fn names(columns: &[(&str, ColumnKind)]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// One commit after the other, each of `batch=` events.
pub(crate) async fn append(database: &Database, task: &Task) -> Round {
    let store = database.open(task.fill, task.months).await;
    let writer: WriterId = "ceiling".parse().unwrap();
    let lease = store.acquire(TENANT, &writer, std::time::Duration::from_secs(3_600)).await.unwrap();
    let mut maker = Maker::new(&lease);
    maker.skip(u64::try_from(lease.head.log_seq).unwrap());
    let size = u64::try_from(task.batch).unwrap();
    let warm = 20;
    let batches: Vec<Batch> = (0..task.events.div_ceil(size) + warm).map(|_| maker.batch(size)).collect();
    // Makes the partitions that the batches need.
    store.commit(&batches[0]).await.unwrap();
    store.close().await;
    let warm = usize::try_from(warm).unwrap();
    let (took, waits) = match &database.url {
        DatabaseUrl::Sqlite(path) => {
            let options = SqliteConnectOptions::new()
                .filename(path)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .pragma("mmap_size", "0")
                .pragma("trusted_schema", "OFF")
                .pragma("temp_store", "MEMORY")
                .pragma("cache_size", "-32000")
                .pragma("journal_size_limit", "67108864")
                .disable_statement_logging();
            let mut connection = options.connect().await.unwrap();
            let sql: Arc<str> = sqlite_sql(&batches[0]).into();
            let mut prepared = batches[1..].iter().map(sqlite_arguments).collect::<Vec<_>>().into_iter();
            for arguments in prepared.by_ref().take(warm - 1) {
                sqlite_commit(&mut connection, &sql, arguments, task.batch).await;
            }
            let mut waits = Vec::new();
            let begun = Instant::now();
            for arguments in prepared {
                let at = Instant::now();
                sqlite_commit(&mut connection, &sql, arguments, task.batch).await;
                waits.push(at.elapsed());
            }
            (begun.elapsed(), waits)
        }
        DatabaseUrl::Postgres(url) => {
            let options: PgConnectOptions = url.parse().unwrap();
            let options = options.options([("synchronous_commit", "on")]).disable_statement_logging();
            let mut connection = options.connect().await.unwrap();
            let tables: Vec<_> = batches[1..].iter().map(|batch| (batch, tables(batch))).collect();
            let sql = tables[0].1.each_ref().map(|table| Arc::<str>::from(postgres_sql(table)));
            let (before, measured) = tables.split_at(warm - 1);
            for (batch, tables) in before {
                postgres_commit(&mut connection, &sql, batch, tables).await;
            }
            let mut waits = Vec::new();
            let begun = Instant::now();
            for (batch, tables) in measured {
                let at = Instant::now();
                postgres_commit(&mut connection, &sql, batch, tables).await;
                waits.push(at.elapsed());
            }
            (begun.elapsed(), waits)
        }
        DatabaseUrl::Memory => panic!("memory has no ceiling"),
    };
    let events = u64::try_from(waits.len()).unwrap() * size;
    Round::new(events, Took { total: took, waits }).with("mean_batch", task.batch)
}

fn sqlite_sql(batch: &Batch) -> String {
    let mut sql = "BEGIN IMMEDIATE; UPDATE log_head SET log_seq = ?, chain_hash = ?, ingested_at = ? \
                   WHERE tenant_id = ? AND epoch = ? AND log_seq = ?"
        .to_owned();
    for table in tables(batch) {
        let row = format!("(?{})", ", ?".repeat(table.columns.len()));
        let rows = vec![row; table.rows.len()].join(", ");
        sql += &format!("; INSERT INTO {} (tenant_id, {}) VALUES {rows}", table.table, names(&table.columns));
        if table.table != "event_log" {
            sql += " ON CONFLICT DO NOTHING";
        }
    }
    sql + "; COMMIT"
}

fn sqlite_arguments(batch: &Batch) -> SqliteArguments {
    let mut arguments = SqliteArguments::default();
    let tenant: Arc<str> = TENANT.to_string().into();
    arguments.add(batch.after.log_seq).unwrap();
    arguments.add(batch.after.chain_hash.0.to_vec()).unwrap();
    arguments.add(batch.after.ingested_at.to_string()).unwrap();
    arguments.add(Arc::clone(&tenant)).unwrap();
    arguments.add(batch.epoch).unwrap();
    arguments.add(batch.before.log_seq).unwrap();
    for table in tables(batch) {
        for row in table.rows {
            arguments.add(Arc::clone(&tenant)).unwrap();
            for value in row {
                match value {
                    Value::Null => arguments.add(None::<i64>),
                    Value::Text(text) => arguments.add(text),
                    Value::Uuid(id) => arguments.add(id.hyphenated().to_string()),
                    Value::Integer(integer) => arguments.add(integer),
                    Value::Decimal(decimal) => arguments.add(decimal.to_string()),
                    Value::Timestamp(at) => arguments.add(at.to_string()),
                    Value::Boolean(yes) => arguments.add(i64::from(yes)),
                    Value::Json(payload) => arguments.add(payload.as_str().to_owned()),
                    Value::Bytes(bytes) => arguments.add(bytes),
                }
                .unwrap();
            }
        }
    }
    arguments
}

async fn sqlite_commit(
    connection: &mut SqliteConnection,
    sql: &Arc<str>,
    arguments: SqliteArguments,
    size: usize,
) {
    let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments);
    let mut results = connection.fetch_many(query);
    let mut changed = 0;
    while let Some(Either::Left(result)) = results.try_next().await.unwrap() {
        changed += result.rows_affected();
    }
    // BEGIN and COMMIT answer what the statement before them changed.
    assert!(changed >= 4 * size as u64);
}

fn postgres_sql(table: &Rows) -> String {
    let selected: String = table
        .columns
        .iter()
        .map(|(name, kind)| {
            let cast = if *kind == ColumnKind::Json { "::jsonb" } else { "" };
            format!(", n.{name}{cast}")
        })
        .collect();
    let arrays: Vec<String> = (2..)
        .zip(&table.columns)
        .map(|(place, (_, kind))| {
            let array = match kind {
                ColumnKind::Text | ColumnKind::Json => "text",
                ColumnKind::Uuid => "uuid",
                ColumnKind::Integer => "bigint",
                ColumnKind::Decimal => "numeric",
                ColumnKind::Timestamp => "timestamptz",
                ColumnKind::Boolean => "boolean",
                ColumnKind::Bytes => "bytea",
            };
            format!("${place}::{array}[]")
        })
        .collect();
    let columns = names(&table.columns);
    let conflict = if table.table == "event_log" { "" } else { " ON CONFLICT DO NOTHING" };
    format!(
        "INSERT INTO {} (tenant_id, {columns}) SELECT $1{selected} FROM unnest({}) AS n ({columns}){conflict}",
        table.table,
        arrays.join(", ")
    )
}

type PgQuery = Query<'static, Postgres, PgArguments>;

fn postgres_bind(query: PgQuery, rows: &Rows, index: usize) -> PgQuery {
    macro_rules! all {
        ($variant:ident, $value:ident => $take:expr) => {{
            let take = |row: &'_ Vec<Value>| match &row[index] {
                Value::$variant($value) => Some($take),
                _ => None,
            };
            query.bind(rows.rows.iter().map(take).collect::<Vec<_>>())
        }};
    }
    match rows.columns[index].1 {
        ColumnKind::Text => {
            let texts = rows
                .rows
                .iter()
                .map(|row| if let Value::Text(text) = &row[index] { Some(text.as_str()) } else { None });
            query.bind(texts.collect::<Vec<_>>())
        }
        ColumnKind::Json => {
            let texts = rows
                .rows
                .iter()
                .map(|row| if let Value::Json(json) = &row[index] { Some(json.as_str()) } else { None });
            query.bind(texts.collect::<Vec<_>>())
        }
        ColumnKind::Bytes => {
            let bytes = rows
                .rows
                .iter()
                .map(|row| if let Value::Bytes(bytes) = &row[index] { Some(bytes.as_slice()) } else { None });
            query.bind(bytes.collect::<Vec<_>>())
        }
        ColumnKind::Uuid => all!(Uuid, id => *id),
        ColumnKind::Integer => all!(Integer, integer => *integer),
        ColumnKind::Decimal => all!(Decimal, decimal => *decimal),
        ColumnKind::Timestamp => all!(Timestamp, at => at.to_datetime()),
        ColumnKind::Boolean => all!(Boolean, yes => *yes),
    }
}

async fn postgres_commit(
    connection: &mut PgConnection,
    sql: &[Arc<str>; 4],
    batch: &Batch,
    tables: &[Rows; 4],
) {
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await.unwrap();
    let head = "UPDATE log_head SET log_seq = $4, chain_hash = $5, ingested_at = $6 \
                WHERE tenant_id = $1 AND epoch = $2 AND log_seq = $3";
    let head = sqlx::query(head)
        .bind(TENANT.0)
        .bind(batch.epoch)
        .bind(batch.before.log_seq)
        .bind(batch.after.log_seq)
        .bind(batch.after.chain_hash.0.to_vec())
        .bind(batch.after.ingested_at.to_datetime());
    assert_eq!(head.execute(&mut *tx).await.unwrap().rows_affected(), 1);
    for (sql, table) in sql.iter().zip(tables) {
        let query = sqlx::query(AssertSqlSafe(Arc::clone(sql))).bind(TENANT.0);
        let query = (0..table.columns.len()).fold(query, |query, index| postgres_bind(query, table, index));
        assert_eq!(query.execute(&mut *tx).await.unwrap().rows_affected(), table.rows.len() as u64);
    }
    tx.commit().await.unwrap();
}

/// Every column of every event, by place, as the driver hands it over.
pub(crate) async fn scan(database: &Database, task: &Task) -> Round {
    let store = database.open(task.fill, task.months).await;
    store.close().await;
    let sql = format!("SELECT {} FROM event_log WHERE tenant_id = $1 ORDER BY log_seq", names(&LOG));
    let begun;
    let count;
    match &database.url {
        DatabaseUrl::Sqlite(path) => {
            let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
            begun = Instant::now();
            let query = sqlx::query(AssertSqlSafe(sql)).bind(TENANT.to_string());
            let rows = query.fetch(&mut connection).try_fold(0_u64, async |count, _| Ok(count + 1));
            count = rows.await.unwrap();
        }
        DatabaseUrl::Postgres(url) => {
            let options: PgConnectOptions = url.parse().unwrap();
            let mut connection = options.connect().await.unwrap();
            begun = Instant::now();
            let query = sqlx::query(AssertSqlSafe(sql)).bind(TENANT.0);
            let rows = query.fetch(&mut connection).try_fold(0_u64, async |count, _| Ok(count + 1));
            count = rows.await.unwrap();
        }
        DatabaseUrl::Memory => panic!("memory is not scanned"),
    }
    Round::new(count, begun.elapsed())
}
