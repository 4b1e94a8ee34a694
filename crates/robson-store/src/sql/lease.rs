//! Which tenants there are, and who may write their logs.
//!
//! Whether a lease that another writer holds is respected, is the dialect's `acquire.sql` to say: on SQLite
//! the file's lock proves that no other process writes, so nobody waits; on Postgres the statement also
//! waits for the row's lock of an older transaction that is still open, so that its outcome is known once
//! the epoch was bumped.

use std::time::Duration;

use robson_eventlog::{AcquireError, CommitError, Head, Lease, StoreError, TenantId, Value, WriterId};
use sqlx::Pool;

use super::database::{SqlDatabase, commit_error};
use super::session::Session;
use super::statement::{Dialect, Statement, dialect_sql};
use super::tables::{HEAD, HOLDER, TENANTS};
use super::{events, read};

pub(crate) async fn register<DB: SqlDatabase>(
    session: Session<'_, DB>,
    tenant: TenantId,
) -> Result<(), StoreError> {
    let values = [
        Value::Uuid(tenant.0),
        Value::Bytes(Head::EMPTY.chain_hash.0.to_vec()),
        Value::Timestamp(Head::EMPTY.ingested_at),
    ];
    session.run(Statement::fixed(include_str!("register.sql"), values)).await
}

pub(crate) async fn tenants<DB: SqlDatabase>(readers: &Pool<DB>) -> Result<Vec<TenantId>, StoreError> {
    let rows = read::fetch(readers, Statement::fixed(include_str!("tenants.sql"), []), &TENANTS).await?;
    let tenant = |value| match value {
        Value::Uuid(id) => Ok(TenantId(id)),
        other => Err(StoreError::Broken(format!("log_head names a tenant {other:?}"))),
    };
    rows.into_iter().flat_map(|row| row.0).map(tenant).collect()
}

pub(crate) async fn acquire<DB: SqlDatabase>(
    session: Session<'_, DB>,
    readers: &Pool<DB>,
    tenant: TenantId,
    writer: &WriterId,
    ttl: Duration,
) -> Result<Lease, AcquireError> {
    let id = Value::Uuid(tenant.0);
    let values = [id.clone(), Value::Text(writer.to_string()), ttl_value(DB::DIALECT, ttl)];
    let statement = Statement::fixed(dialect_sql!(DB::DIALECT, "acquire.sql"), values);
    if let Some(row) = session.fetch(statement, &HEAD).await?.into_iter().next() {
        let (epoch, head) = events::epoch_and_head(row)?;
        return Ok(Lease { tenant, writer: writer.clone(), epoch, head });
    }
    let holder = read::fetch(readers, Statement::fixed(include_str!("holder.sql"), [id]), &HOLDER).await?;
    match holder.into_iter().next().map(|row| row.0).as_deref() {
        None => Err(StoreError::UnknownTenant(tenant).into()),
        Some([Value::Text(writer), Value::Timestamp(until)]) => {
            Err(AcquireError::Held { writer: writer.clone(), until: Some(*until) })
        }
        // It was given up in the meantime: whoever asks again gets it.
        Some(_) => Err(AcquireError::Held { writer: String::new(), until: None }),
    }
}

pub(crate) async fn renew<DB: SqlDatabase>(
    session: Session<'_, DB>,
    lease: &Lease,
    ttl: Duration,
) -> Result<(), CommitError> {
    let values = [Value::Uuid(lease.tenant.0), Value::Integer(lease.epoch), ttl_value(DB::DIALECT, ttl)];
    fence(session, Statement::fixed(dialect_sql!(DB::DIALECT, "renew.sql"), values)).await
}

pub(crate) async fn release<DB: SqlDatabase>(
    session: Session<'_, DB>,
    lease: &Lease,
) -> Result<(), CommitError> {
    let values = [Value::Uuid(lease.tenant.0), Value::Integer(lease.epoch)];
    fence(session, Statement::fixed(include_str!("release.sql"), values)).await
}

/// Runs a statement that changes the one head which the lease is for, unless somebody took it over.
async fn fence<DB: SqlDatabase>(
    session: Session<'_, DB>,
    statement: Statement<'_>,
) -> Result<(), CommitError> {
    match session.execute(statement).await.map_err(|error| commit_error::<DB>(&error))? {
        1 => Ok(()),
        _ => Err(CommitError::Fenced),
    }
}

/// How long, as the dialect's statements take it: milliseconds, or what SQLite adds to a date.
fn ttl_value(dialect: Dialect, ttl: Duration) -> Value {
    match dialect {
        Dialect::Postgres => Value::Integer(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)),
        Dialect::Sqlite => Value::Text(format!("+{}.{:03} seconds", ttl.as_secs(), ttl.subsec_millis())),
    }
}
