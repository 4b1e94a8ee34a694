//! Reads: each in one snapshot of the database, on any connection that reads.

use robson_eventlog::log_tables::{EVENT_IDEMPOTENCY, PROJECTION_CHECKPOINTS, STREAM_STATE};
use robson_eventlog::snapshot::SNAPSHOTS;
use robson_eventlog::{
    Capture, Checkpoint, Column, DedupeHit, DedupeKey, EventQuery, Head, Page, Row, RowQuery, Snapshot,
    StoreError, StreamKey, StreamVersion, Table, TenantId, Value,
};
use sqlx::pool::PoolConnection;
use sqlx::{Pool, SqlStr};

use super::database::{self, SqlDatabase, is_connection_lost, store_error};
use super::events;
use super::statement::{self, Statement};
use super::tables::{EVENT_LOG, HEAD, PAGE};
use crate::question;

/// What the types of a table's columns forbid.
fn misfit(table: &Table) -> StoreError {
    StoreError::Broken(format!("a row of {} does not hold what it should", table.name))
}

/// Runs a statement and reads its rows; where a connection was lost while it lay idle, sends it again.
pub(crate) async fn fetch<DB: SqlDatabase>(
    readers: &Pool<DB>,
    statement: Statement<'_>,
    columns: &[Column],
) -> Result<Vec<Row>, StoreError> {
    let failed = |error: sqlx::Error| store_error::<DB>(&error);
    let mut attempts_left = readers.options().get_max_connections();
    loop {
        match fetch_once(readers, statement.clone()).await {
            Err(error) if attempts_left > 0 && is_connection_lost::<DB>(&error) => attempts_left -= 1,
            answer => return database::rows::<DB>(&answer.map_err(failed)?, columns).map_err(failed),
        }
    }
}

async fn fetch_once<DB: SqlDatabase>(
    readers: &Pool<DB>,
    statement: Statement<'_>,
) -> Result<Vec<DB::Row>, sqlx::Error> {
    let mut reader = readers.acquire().await?;
    DB::fetch(&mut reader, statement).await
}

/// The answer to a question that needs no asking.
fn nothing<DB: SqlDatabase, T: Default>(readers: &Pool<DB>) -> Result<T, StoreError> {
    if readers.is_closed() { Err(StoreError::Closed) } else { Ok(T::default()) }
}

pub(crate) async fn rows<DB: SqlDatabase>(
    readers: &Pool<DB>,
    tenant: TenantId,
    table: &'static Table,
    query: &RowQuery,
) -> Result<Vec<Row>, StoreError> {
    let Some(query) = question::about_rows(query) else { return nothing(readers) };
    let mut rows = Vec::new();
    for statement in statement::select(DB::DIALECT, tenant, table, &query) {
        rows.append(&mut fetch(readers, statement, table.columns).await?);
    }
    rows.truncate(query.limit.unwrap_or(usize::MAX));
    Ok(rows)
}

/// The rows of a table whose key is one text.
async fn rows_of<DB: SqlDatabase>(
    readers: &Pool<DB>,
    tenant: TenantId,
    table: &'static Table,
    keys: impl Iterator<Item = String>,
) -> Result<Vec<Row>, StoreError> {
    let keys: Vec<Vec<Value>> = keys.map(|key| vec![Value::Text(key)]).collect();
    // No key would mean every row.
    if keys.is_empty() { nothing(readers) } else { rows(readers, tenant, table, &RowQuery::keys(keys)).await }
}

pub(crate) async fn lookup<DB: SqlDatabase>(
    readers: &Pool<DB>,
    tenant: TenantId,
    keys: &[DedupeKey],
) -> Result<Vec<DedupeHit>, StoreError> {
    let keys = keys.iter().map(ToString::to_string);
    let rows = rows_of(readers, tenant, &EVENT_IDEMPOTENCY, keys).await?;
    rows.into_iter().map(|row| DedupeHit::from_row(row).ok_or_else(|| misfit(&EVENT_IDEMPOTENCY))).collect()
}

pub(crate) async fn streams<DB: SqlDatabase>(
    readers: &Pool<DB>,
    tenant: TenantId,
    keys: &[StreamKey],
) -> Result<Vec<StreamVersion>, StoreError> {
    let keys = keys.iter().map(ToString::to_string);
    let rows = rows_of(readers, tenant, &STREAM_STATE, keys).await?;
    rows.into_iter().map(|row| StreamVersion::from_row(row).ok_or_else(|| misfit(&STREAM_STATE))).collect()
}

pub(crate) async fn checkpoint<DB: SqlDatabase>(
    readers: &Pool<DB>,
    tenant: TenantId,
    name: &str,
) -> Result<Option<Checkpoint>, StoreError> {
    let names = std::iter::once(name.to_owned());
    let rows = rows_of(readers, tenant, &PROJECTION_CHECKPOINTS, names).await?;
    let checkpoint = |row| Checkpoint::from_row(row).ok_or_else(|| misfit(&PROJECTION_CHECKPOINTS));
    Ok(rows.into_iter().next().map(checkpoint).transpose()?.map(|(_, checkpoint)| checkpoint))
}

#[tracing::instrument(level = "debug", name = "read", skip_all, fields(after = query.after, limit = query.limit))]
pub(crate) async fn page<DB: SqlDatabase>(
    readers: &Pool<DB>,
    query: &EventQuery,
) -> Result<Page, StoreError> {
    let statement = statement::select_events(DB::DIALECT, &question::about_events(query));
    let columns = [PAGE.as_slice(), EVENT_LOG.columns].concat();
    let rows = fetch(readers, statement, &columns).await?;
    let page = events::page(query.tenant, rows)?.ok_or(StoreError::UnknownTenant(query.tenant))?;
    question::count(&page);
    Ok(page)
}

pub(crate) async fn head<DB: SqlDatabase>(readers: &Pool<DB>, tenant: TenantId) -> Result<Head, StoreError> {
    let statement = Statement::fixed(include_str!("head.sql"), [Value::Uuid(tenant.0)]);
    let row = fetch(readers, statement, &HEAD).await?.into_iter().next();
    Ok(events::epoch_and_head(row.ok_or(StoreError::UnknownTenant(tenant))?)?.1)
}

/// Rows of several tables and the head, in one read-only transaction.
pub(crate) async fn capture<DB: SqlDatabase>(
    readers: &Pool<DB>,
    tenant: TenantId,
    queries: &[(&'static Table, RowQuery)],
) -> Result<Capture, StoreError> {
    let mut attempts_left = readers.options().get_max_connections();
    loop {
        match capture_once(readers, tenant, queries).await {
            Err(error) if attempts_left > 0 && is_connection_lost::<DB>(&error) => attempts_left -= 1,
            answer => {
                let (head, rows) = answer.map_err(|error| store_error::<DB>(&error))?;
                let head = events::epoch_and_head(head.ok_or(StoreError::UnknownTenant(tenant))?)?.1;
                return Ok(Capture { head, rows });
            }
        }
    }
}

async fn capture_once<DB: SqlDatabase>(
    readers: &Pool<DB>,
    tenant: TenantId,
    queries: &[(&'static Table, RowQuery)],
) -> Result<(Option<Row>, Vec<Vec<Row>>), sqlx::Error> {
    let mut tx = readers.begin_with(SqlStr::from_static(DB::BEGIN_READ)).await?;
    let statement = Statement::fixed(include_str!("head.sql"), [Value::Uuid(tenant.0)]);
    let head = database::rows::<DB>(&DB::fetch(&mut tx, statement).await?, &HEAD)?.into_iter().next();
    let mut captured = Vec::with_capacity(queries.len());
    for (table, query) in queries {
        let mut rows = Vec::new();
        if let Some(query) = question::about_rows(query) {
            for statement in statement::select(DB::DIALECT, tenant, table, &query) {
                let found = DB::fetch(&mut tx, statement).await?;
                rows.append(&mut database::rows::<DB>(&found, table.columns)?);
            }
            rows.truncate(query.limit.unwrap_or(usize::MAX));
        }
        captured.push(rows);
    }
    tx.rollback().await?;
    Ok((head, captured))
}

pub(crate) async fn snapshot<DB: SqlDatabase>(
    readers: &Pool<DB>,
    tenant: TenantId,
    scope: &str,
    scope_id: &str,
    up_to: i64,
) -> Result<Option<Snapshot>, StoreError> {
    let (scope, scope_id) = (Value::Text(scope.to_owned()), Value::Text(scope_id.to_owned()));
    if !scope.is_portable() || !scope_id.is_portable() {
        return nothing(readers);
    }
    let values = [Value::Uuid(tenant.0), scope, scope_id, Value::Integer(up_to)];
    let statement = Statement::fixed(include_str!("snapshot.sql"), values);
    let rows = fetch(readers, statement, SNAPSHOTS.columns).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    Snapshot::from_row(row).map(Some).ok_or_else(|| misfit(&SNAPSHOTS))
}

/// Takes every connection that reads, for tests.
pub(crate) async fn hold_all<DB: SqlDatabase>(
    readers: &Pool<DB>,
) -> Result<Vec<PoolConnection<DB>>, sqlx::Error> {
    let mut held = Vec::new();
    for _ in 0..readers.options().get_max_connections() {
        held.push(readers.acquire().await?);
    }
    Ok(held)
}
