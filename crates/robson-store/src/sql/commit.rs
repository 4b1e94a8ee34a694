//! Writing a batch: the order of its statements, and what each of them proves.
//!
//! Every compare-and-set counts the rows that it changed. A count that does not fit means that somebody
//! else wrote since the batch was computed.

use robson_eventlog::log_tables::{EVENT_IDEMPOTENCY, STREAM_STATE};
use robson_eventlog::snapshot::SNAPSHOTS;
use robson_eventlog::{
    Batch, CheckpointMove, CommitError, DedupeEntry, Head, Receipt, Row, RowQuery, Snapshot, StreamMove,
    Table, TenantId, Value,
};
use sqlx::{Connection as _, SqlStr};

use super::database::{SqlDatabase, commit_error};
use super::session::Session;
use super::statement::{self, OnConflict, Statement};
use super::tables::{EVENT_LOG, HEAD};
use super::{database, events};

/// Makes a batch durable in one transaction, or leaves nothing of it; `ring` is what wakes other processes.
pub(crate) async fn commit<DB: SqlDatabase>(
    mut session: Session<'_, DB>,
    batch: &Batch,
    ring: Option<Statement>,
) -> Result<Receipt, CommitError> {
    let begun = session.connection.begin_with(SqlStr::from_static(DB::BEGIN)).await;
    let mut tx = begun.map_err(|error| commit_error::<DB>(&error))?;
    match write::<DB>(&mut tx, batch, ring).await {
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

/// Everything of a batch, in the open transaction. The head comes first: its row's lock lets one writer
/// through at a time.
async fn write<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    batch: &Batch,
    ring: Option<Statement>,
) -> Result<(), CommitError> {
    move_head::<DB>(tx, batch.tenant, batch.epoch, batch.before, batch.after).await?;
    if let Some(flaw) = batch.flaw() {
        return Err(CommitError::Broken(flaw));
    }
    let tenant = batch.tenant;
    let dedupe: Vec<Row> = batch.dedupe.iter().map(DedupeEntry::to_row).collect();
    insert_new::<DB>(tx, tenant, &EVENT_IDEMPOTENCY, &dedupe).await?;
    move_streams::<DB>(tx, batch).await?;
    let log: Vec<Row> = batch.events.iter().map(events::event_row).collect();
    insert_new::<DB>(tx, tenant, &EVENT_LOG, &log).await?;
    for change in &batch.rows {
        insert::<DB>(tx, tenant, change.table, &change.rows, OnConflict::Replace).await?;
    }
    let snapshots: Vec<Row> = batch.snapshots.iter().map(Snapshot::to_row).collect();
    insert::<DB>(tx, tenant, &SNAPSHOTS, &snapshots, OnConflict::Replace).await?;
    for moved in &batch.checkpoints {
        change::<DB>(tx, move_checkpoint(tenant, moved), 1).await?;
    }
    if let Some(ring) = ring {
        DB::execute(tx, ring).await.map_err(|error| commit_error::<DB>(&error))?;
    }
    Ok(())
}

/// Moves the head, or proves that it stands where the writer under this epoch left it.
pub(super) async fn move_head<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    tenant: TenantId,
    epoch: i64,
    before: Head,
    after: Head,
) -> Result<(), CommitError> {
    let failed = |error: sqlx::Error| commit_error::<DB>(&error);
    let tenant = Value::Uuid(tenant.0);
    let values = [
        tenant.clone(),
        Value::Integer(epoch),
        Value::Integer(before.log_seq),
        Value::Integer(after.log_seq),
        Value::Bytes(after.chain_hash.0.to_vec()),
        Value::Timestamp(after.ingested_at),
    ];
    let moved = DB::execute(tx, Statement::fixed(include_str!("move_head.sql"), values)).await;
    if moved.map_err(failed)? == 1 {
        return Ok(());
    }
    let answer = DB::fetch(tx, Statement::fixed(include_str!("head.sql"), [tenant])).await.map_err(failed)?;
    let found = database::rows::<DB>(&answer, &HEAD[..1]).map_err(failed)?;
    let is_ours = found.first().is_some_and(|row| row.0 == [Value::Integer(epoch)]);
    Err(if is_ours { CommitError::Stale } else { CommitError::Fenced })
}

async fn move_streams<DB: SqlDatabase>(tx: &mut DB::Connection, batch: &Batch) -> Result<(), CommitError> {
    let (old, new): (Vec<_>, Vec<_>) = batch.streams.iter().partition(|moved| moved.expected_seq > 0);
    let (absent, new): (Vec<_>, Vec<_>) = new.into_iter().partition(|moved| moved.last_seq == 0);
    require_absent::<DB>(tx, batch.tenant, &absent).await?;
    let new: Vec<Row> = new.into_iter().map(StreamMove::to_row).collect();
    insert_new::<DB>(tx, batch.tenant, &STREAM_STATE, &new).await?;
    if old.is_empty() {
        return Ok(());
    }
    change::<DB>(tx, statement::advance_streams(DB::DIALECT, batch.tenant, &old), old.len()).await
}

/// Streams that are asserted not to exist, and are not written.
async fn require_absent<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    tenant: TenantId,
    streams: &[&StreamMove],
) -> Result<(), CommitError> {
    if streams.is_empty() {
        return Ok(());
    }
    let keys = streams.iter().map(|moved| vec![Value::Text(moved.stream.to_string())]).collect();
    for statement in statement::select(DB::DIALECT, tenant, &STREAM_STATE, &RowQuery::keys(keys)) {
        let found = DB::fetch(tx, statement).await.map_err(|error| commit_error::<DB>(&error))?;
        if !found.is_empty() {
            return Err(CommitError::Stale);
        }
    }
    Ok(())
}

fn move_checkpoint(tenant: TenantId, moved: &CheckpointMove) -> Statement {
    let values = [
        Value::Uuid(tenant.0),
        Value::Text(moved.name.clone()),
        Value::Integer(moved.from),
        Value::Integer(moved.to),
        Value::Integer(moved.generation),
    ];
    Statement::fixed(include_str!("move_checkpoint.sql"), values)
}

async fn insert_new<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    tenant: TenantId,
    table: &'static Table,
    rows: &[Row],
) -> Result<(), CommitError> {
    let inserted = insert::<DB>(tx, tenant, table, rows, OnConflict::Keep).await?;
    // A key that was there means a second writer: whatever the batch was computed from is gone.
    if inserted == rows.len() as u64 { Ok(()) } else { Err(CommitError::Stale) }
}

pub(super) async fn insert<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    tenant: TenantId,
    table: &'static Table,
    rows: &[Row],
    on_conflict: OnConflict,
) -> Result<u64, CommitError> {
    let mut inserted = 0;
    for statement in statement::insert(DB::DIALECT, tenant, table, rows, on_conflict) {
        inserted += DB::execute(tx, statement).await.map_err(|error| commit_error::<DB>(&error))?;
    }
    Ok(inserted)
}

/// Runs a compare-and-set that must change so many rows.
pub(super) async fn change<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    statement: Statement,
    rows: usize,
) -> Result<(), CommitError> {
    let changed = DB::execute(tx, statement).await.map_err(|error| commit_error::<DB>(&error))?;
    if changed == rows as u64 { Ok(()) } else { Err(CommitError::Stale) }
}
