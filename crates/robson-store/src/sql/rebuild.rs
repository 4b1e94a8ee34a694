//! The next generation of tables: filled beside the live rows, then put in their place.
//!
//! A table's shadow has its columns and its key, none of its other indexes, and is made when it is needed.
//! Tenants share it, as they share the table: it is made anew only while nobody else is filling it.

use std::sync::{Mutex, PoisonError};

use robson_eventlog::log_tables::PROJECTION_CHECKPOINTS;
use robson_eventlog::{
    Checkpoint, CommitError, Generation, Head, Lease, Row, RowQuery, Table, TableRows, TenantId, Value,
};
use sqlx::{Connection as _, SqlStr};

use super::commit::{self, change};
use super::database::{self, SqlDatabase, commit_error};
use super::session::Session;
use super::statement::{self, Dialect, OnConflict, Statement};
use super::tables::COUNT;

/// One transaction of a rebuild.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    Begin(&'a Generation),
    Fill { next: &'a Generation, rows: &'a [TableRows], from: i64, to: i64 },
    Swap { next: &'a Generation, lease: &'a Lease, head: Head },
    Abandon(&'a Generation),
}

/// The table that keeps the next generation of another one. Made once for each table, and kept for good: a
/// table is a value that statements hold for as long as the program runs.
pub(crate) fn shadow(table: &'static Table) -> &'static Table {
    static SHADOWS: Mutex<Vec<(&'static Table, &'static Table)>> = Mutex::new(Vec::new());
    let mut shadows = SHADOWS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, shadow)) = shadows.iter().find(|(of, _)| *of == table) {
        return shadow;
    }
    let name = Box::leak(Generation::shadow_name(table).into_boxed_str());
    let shadow = Box::leak(Box::new(Table { name, columns: table.columns, key_columns: table.key_columns }));
    shadows.push((table, shadow));
    shadow
}

/// Takes a step, or leaves nothing of it; answers where a rebuild that was begun stands.
pub(crate) async fn step<DB: SqlDatabase>(
    mut session: Session<'_, DB>,
    step: Step<'_>,
) -> Result<Option<i64>, CommitError> {
    let begun = session.connection.begin_with(SqlStr::from_static(DB::BEGIN)).await;
    let mut tx = begun.map_err(|error| commit_error::<DB>(&error))?;
    let place = match take::<DB>(&mut tx, step).await {
        Ok(place) => {
            tx.commit().await.map_err(|error| CommitError::Unavailable(Box::new(error)))?;
            place
        }
        Err(refusal @ (CommitError::Stale | CommitError::Fenced)) => {
            if tx.rollback().await.is_ok() {
                session.keep();
            }
            return Err(refusal);
        }
        Err(error) => return Err(error),
    };
    session.keep();
    Ok(place)
}

async fn take<DB: SqlDatabase>(tx: &mut DB::Connection, step: Step<'_>) -> Result<Option<i64>, CommitError> {
    lock::<DB>(tx, matches!(step, Step::Begin(_) | Step::Abandon(_))).await?;
    if matches!((DB::DIALECT, step), (Dialect::Postgres, Step::Swap { .. })) {
        // It takes as long as the tables are large; what limits a commit would limit their size.
        run::<DB>(tx, Statement::fixed(include_str!("../postgres/sql/take_time.sql"), [])).await?;
    }
    match step {
        Step::Begin(next) => begin::<DB>(tx, next).await,
        Step::Fill { next, rows, from, to } => fill::<DB>(tx, next, rows, from, to).await.map(|()| None),
        Step::Swap { next, lease, head } => swap::<DB>(tx, next, lease, head).await.map(|()| None),
        Step::Abandon(next) => clear::<DB>(tx, next).await.map(|()| None),
    }
}

/// Whoever makes shadows anew is alone with them. On SQLite every transaction that writes is.
async fn lock<DB: SqlDatabase>(tx: &mut DB::Connection, alone: bool) -> Result<(), CommitError> {
    let sql = match (DB::DIALECT, alone) {
        (Dialect::Sqlite, _) => return Ok(()),
        (Dialect::Postgres, true) => include_str!("../postgres/sql/lock_shadows.sql"),
        (Dialect::Postgres, false) => include_str!("../postgres/sql/share_shadows.sql"),
    };
    run::<DB>(tx, Statement::fixed(sql, [])).await.map(drop)
}

async fn begin<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    next: &Generation,
) -> Result<Option<i64>, CommitError> {
    let head = Statement::fixed(include_str!("head.sql"), [Value::Uuid(next.tenant.0)]);
    if DB::fetch(tx, head).await.map_err(|error| commit_error::<DB>(&error))?.is_empty() {
        return Err(CommitError::Fenced);
    }
    let place = next.common_place(&stands::<DB>(tx, next).await?);
    if place.is_none() {
        clear::<DB>(tx, next).await?;
    }
    Ok(place)
}

/// Where the shadows of a generation stand, as far as they were filled.
async fn stands<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    next: &Generation,
) -> Result<Vec<Checkpoint>, CommitError> {
    let names = next.tables.iter().map(|table| vec![Value::Text(Generation::shadow_name(table))]);
    let mut stands = Vec::new();
    let query = RowQuery::keys(names.collect());
    for statement in statement::select(DB::DIALECT, next.tenant, &PROJECTION_CHECKPOINTS, &query) {
        for row in fetch::<DB>(tx, statement, PROJECTION_CHECKPOINTS.columns).await? {
            let misfit = || CommitError::Broken("a checkpoint cannot be read".to_owned());
            stands.push(Checkpoint::from_row(row).ok_or_else(misfit)?.1);
        }
    }
    Ok(stands)
}

/// Leaves nothing in the shadows of a generation. Where nobody else fills them they are made anew, as the
/// tables' columns are now.
async fn clear<DB: SqlDatabase>(tx: &mut DB::Connection, next: &Generation) -> Result<(), CommitError> {
    for table in &next.tables {
        let name = Value::Text(Generation::shadow_name(table));
        let tenant = Value::Uuid(next.tenant.0);
        let others = Statement::fixed(include_str!("rebuilds_of_others.sql"), [tenant.clone(), name.clone()]);
        let others = fetch::<DB>(tx, others, &COUNT).await?;
        if others.first().is_some_and(|row| row.0 == [Value::Integer(0)]) {
            run::<DB>(tx, statement::drop_table(shadow(table))).await?;
        }
        run::<DB>(tx, statement::create_table(DB::DIALECT, shadow(table))).await?;
        run::<DB>(tx, statement::delete_rows(next.tenant, shadow(table))).await?;
        run::<DB>(tx, Statement::fixed(include_str!("delete_checkpoint.sql"), [tenant, name])).await?;
    }
    Ok(())
}

async fn fill<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    next: &Generation,
    rows: &[TableRows],
    from: i64,
    to: i64,
) -> Result<(), CommitError> {
    if let Some(flaw) = next.flaw(rows) {
        return Err(CommitError::Broken(flaw));
    }
    require_place::<DB>(tx, next, from).await?;
    for changed in rows {
        let shadow = shadow(changed.table);
        commit::insert::<DB>(tx, next.tenant, shadow, &changed.rows, OnConflict::Replace).await?;
    }
    let names = next.tables.iter().map(|table| Generation::shadow_name(table));
    set_checkpoints::<DB>(tx, next.tenant, names, to, next.number).await
}

async fn require_place<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    next: &Generation,
    place: i64,
) -> Result<(), CommitError> {
    let stands = stands::<DB>(tx, next).await?;
    let is_there = (place == 0 && stands.is_empty()) || next.common_place(&stands) == Some(place);
    if is_there { Ok(()) } else { Err(CommitError::Stale) }
}

async fn swap<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    next: &Generation,
    lease: &Lease,
    head: Head,
) -> Result<(), CommitError> {
    commit::move_head::<DB>(tx, lease.tenant, lease.epoch, head, head).await?;
    require_place::<DB>(tx, next, head.log_seq).await?;
    for table in &next.tables {
        run::<DB>(tx, statement::delete_rows(next.tenant, table)).await?;
        run::<DB>(tx, statement::copy_rows(next.tenant, shadow(table), table)).await?;
        run::<DB>(tx, statement::delete_rows(next.tenant, shadow(table))).await?;
        if head.log_seq > 0 {
            let name = Value::Text(Generation::shadow_name(table));
            let values = [Value::Uuid(next.tenant.0), name];
            let delete = Statement::fixed(include_str!("delete_checkpoint.sql"), values);
            change::<DB>(tx, delete, 1).await?;
        }
    }
    let names = next.tables.iter().map(|table| table.name.to_owned());
    set_checkpoints::<DB>(tx, next.tenant, names, head.log_seq, next.number).await
}

async fn set_checkpoints<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    tenant: TenantId,
    names: impl Iterator<Item = String>,
    log_seq: i64,
    number: i64,
) -> Result<(), CommitError> {
    let row = |name| Row(vec![Value::Text(name), Value::Integer(log_seq), Value::Integer(number)]);
    let rows: Vec<Row> = names.map(row).collect();
    commit::insert::<DB>(tx, tenant, &PROJECTION_CHECKPOINTS, &rows, OnConflict::Replace).await.map(drop)
}

async fn run<DB: SqlDatabase>(tx: &mut DB::Connection, statement: Statement<'_>) -> Result<u64, CommitError> {
    DB::execute(tx, statement).await.map_err(|error| commit_error::<DB>(&error))
}

async fn fetch<DB: SqlDatabase>(
    tx: &mut DB::Connection,
    statement: Statement<'_>,
    columns: &[robson_eventlog::Column],
) -> Result<Vec<Row>, CommitError> {
    let failed = |error: sqlx::Error| commit_error::<DB>(&error);
    let answer = DB::fetch(tx, statement).await.map_err(failed)?;
    database::rows::<DB>(&answer, columns).map_err(failed)
}
