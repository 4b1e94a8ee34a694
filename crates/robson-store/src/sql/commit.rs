//! Writing a batch: the order of its statements, and what each of them proves.
//!
//! Every compare-and-set counts the rows that it changed. A count that does not fit means that somebody
//! else wrote since the batch was computed.

use robson_eventlog::log_tables::{EVENT_IDEMPOTENCY, STREAM_STATE};
use robson_eventlog::snapshot::SNAPSHOTS;
use robson_eventlog::{
    Batch, CheckpointMove, CommitError, Head, Receipt, Row, RowQuery, Snapshot, StreamMove, Table, TenantId,
    Value,
};

use super::database::{self, SqlDatabase, Step, commit_error};
use super::record::{Record, records};
use super::session::Session;
use super::statement::{self, Dialect, OnConflict, Statement};
use super::tables::{EVENT_LOG, HEAD};

/// Makes a batch durable in one transaction, or leaves nothing of it; `ring` is what wakes other processes.
pub(crate) async fn commit<DB: SqlDatabase>(
    mut session: Session<'_, DB>,
    batch: &Batch,
    ring: Option<Statement<'_>>,
) -> Result<Receipt, CommitError> {
    let flaw = batch.flaw();
    let (absent, moved): (Vec<_>, Vec<_>) = batch.streams.iter().partition(|moved| moved.last_seq == 0);
    let snapshots: Vec<Row> = batch.snapshots.iter().map(Snapshot::to_row).collect();
    // The head comes first: its row's lock lets one writer through at a time.
    let head = head_move(batch.tenant, batch.epoch, batch.before, batch.after);
    let mut steps = vec![Step { statement: head, rows: Some(1) }];
    if flaw.is_none() {
        steps.extend(content(DB::DIALECT, batch, &moved, &snapshots));
        steps.extend(ring.map(|statement| Step { statement, rows: None }));
    }
    let expected: Vec<Option<u64>> = steps.iter().map(|step| step.rows).collect();
    let ran = DB::run(&mut session.connection, steps).await;
    let changed = expected.iter().zip(&ran.changed);
    if let Some(step) =
        changed.map(|(rows, changed)| rows.is_none_or(|rows| rows == *changed)).position(|fits| !fits)
    {
        return Err(refuse(session, batch, step == 0).await);
    }
    match (ran.error, flaw) {
        (Some(error), _) => return Err(commit_error::<DB>(&error)),
        (None, Some(flaw)) => return Err(CommitError::Broken(flaw)),
        (None, None) => {}
    }
    if any_exists::<DB>(&mut session.connection, batch.tenant, &absent).await? {
        return Err(refuse(session, batch, false).await);
    }
    let ended = DB::end(&mut session.connection, "COMMIT").await;
    ended.map_err(|error| CommitError::Unavailable(Box::new(error)))?;
    session.keep();
    Ok(Receipt { head: batch.after })
}

/// Takes everything back; the head tells a newer writer from a log that moved on.
async fn refuse<DB: SqlDatabase>(mut session: Session<'_, DB>, batch: &Batch, is_head: bool) -> CommitError {
    let refusal = async {
        DB::end(&mut session.connection, "ROLLBACK").await?;
        if !is_head {
            return Ok(CommitError::Stale);
        }
        why_unmoved::<DB>(&mut session.connection, batch.tenant, batch.epoch).await
    };
    match refusal.await {
        Ok(refusal) => {
            session.keep();
            refusal
        }
        Err(error) => commit_error::<DB>(&error),
    }
}

async fn why_unmoved<DB: SqlDatabase>(
    connection: &mut DB::Connection,
    tenant: TenantId,
    epoch: i64,
) -> Result<CommitError, sqlx::Error> {
    let statement = Statement::fixed(include_str!("head.sql"), [Value::Uuid(tenant.0)]);
    let answer = DB::fetch(connection, statement).await?;
    let found = database::rows::<DB>(&answer, &HEAD[..1])?;
    let is_ours = found.first().is_some_and(|row| row.0 == [Value::Integer(epoch)]);
    Ok(if is_ours { CommitError::Stale } else { CommitError::Fenced })
}

fn head_move(tenant: TenantId, epoch: i64, before: Head, after: Head) -> Statement<'static> {
    let values = [
        Value::Uuid(tenant.0),
        Value::Integer(epoch),
        Value::Integer(before.log_seq),
        Value::Integer(after.log_seq),
        Value::Bytes(after.chain_hash.0.to_vec()),
        Value::Timestamp(after.ingested_at),
    ];
    Statement::fixed(include_str!("move_head.sql"), values)
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
    let moved = DB::execute(tx, head_move(tenant, epoch, before, after)).await.map_err(failed)?;
    if moved == 1 { Ok(()) } else { Err(why_unmoved::<DB>(tx, tenant, epoch).await.map_err(failed)?) }
}

/// What follows the head. A key that is there, or a stream that stands elsewhere, means a second writer, or
/// a guess of the only one that was wrong: whatever the batch was computed from is gone.
fn content<'a>(
    dialect: Dialect,
    batch: &'a Batch,
    streams: &[&'a StreamMove],
    snapshots: &'a [Row],
) -> Vec<Step<'a>> {
    let tenant = batch.tenant;
    let mut steps = Vec::new();
    let mut insert = |table: &'static Table, records: Vec<&'a dyn Record>, on_conflict: OnConflict| {
        let statements = statement::insert(dialect, tenant, table, &records, on_conflict);
        steps.extend(statements.into_iter().map(|(statement, count)| Step {
            statement,
            rows: (on_conflict == OnConflict::Keep).then_some(count as u64),
        }));
    };
    let (old, new): (Vec<_>, Vec<_>) = streams.iter().copied().partition(|moved| moved.expected_seq > 0);
    insert(&EVENT_IDEMPOTENCY, records(&batch.dedupe), OnConflict::Keep);
    insert(&STREAM_STATE, new.into_iter().map(|moved| moved as &dyn Record).collect(), OnConflict::Keep);
    insert(&EVENT_LOG, records(&batch.events), OnConflict::Keep);
    for of_table in &batch.rows {
        insert(of_table.table, records(&of_table.rows), OnConflict::Replace);
    }
    insert(&SNAPSHOTS, records(snapshots), OnConflict::Replace);
    if !old.is_empty() {
        let statement = statement::advance_streams(dialect, tenant, &old);
        steps.push(Step { statement, rows: Some(old.len() as u64) });
    }
    let moves = batch.checkpoints.iter().map(|moved| move_checkpoint(tenant, moved));
    steps.extend(moves.map(|statement| Step { statement, rows: Some(1) }));
    steps
}

/// Whether one of the streams is there that are asserted not to exist, and are not written.
async fn any_exists<DB: SqlDatabase>(
    connection: &mut DB::Connection,
    tenant: TenantId,
    streams: &[&StreamMove],
) -> Result<bool, CommitError> {
    if streams.is_empty() {
        return Ok(false);
    }
    let keys = streams.iter().map(|moved| vec![Value::Text(moved.stream.to_string())]).collect();
    for statement in statement::select(DB::DIALECT, tenant, &STREAM_STATE, &RowQuery::keys(keys)) {
        let found = DB::fetch(connection, statement).await.map_err(|error| commit_error::<DB>(&error))?;
        if !found.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn move_checkpoint(tenant: TenantId, moved: &CheckpointMove) -> Statement<'static> {
    let values = [
        Value::Uuid(tenant.0),
        Value::Text(moved.name.clone()),
        Value::Integer(moved.from),
        Value::Integer(moved.to),
        Value::Integer(moved.generation),
    ];
    Statement::fixed(include_str!("move_checkpoint.sql"), values)
}

pub(super) async fn insert<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    tenant: TenantId,
    table: &'static Table,
    rows: &[Row],
    on_conflict: OnConflict,
) -> Result<(), CommitError> {
    for (statement, _) in statement::insert(DB::DIALECT, tenant, table, &records(rows), on_conflict) {
        DB::execute(tx, statement).await.map_err(|error| commit_error::<DB>(&error))?;
    }
    Ok(())
}

/// Runs a compare-and-set that must change so many rows.
pub(super) async fn change<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    statement: Statement<'_>,
    rows: usize,
) -> Result<(), CommitError> {
    let changed = DB::execute(tx, statement).await.map_err(|error| commit_error::<DB>(&error))?;
    if changed == rows as u64 { Ok(()) } else { Err(CommitError::Stale) }
}
