//! What a backend adds to the shared logic: how a statement is run, how its answer is read, and what its
//! errors mean.

use std::fmt::Debug;
use std::future::Future;

use robson_eventlog::{Column, CommitError, Row, StoreError, Value};
use sqlx::error::BoxDynError;

use super::statement::{Dialect, Statement};

/// A statement of a transaction, and how many rows it must change where that proves something.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) statement: Statement<'a>,
    pub(crate) rows: Option<u64>,
}

/// How far the steps of a transaction came.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// How many rows each step changed that was run.
    pub(crate) changed: Vec<u64>,
    /// What stopped them.
    pub(crate) error: Option<sqlx::Error>,
}

/// A database that speaks SQL.
pub(crate) trait SqlDatabase: sqlx::Database<Connection: Debug> {
    /// What it speaks.
    const DIALECT: Dialect;
    /// What begins a transaction that writes.
    const BEGIN: &'static str;
    /// What begins a transaction that reads one snapshot.
    const BEGIN_READ: &'static str;

    /// Runs a statement and answers how many rows it changed.
    fn execute(
        connection: &mut Self::Connection,
        statement: Statement<'_>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Begins a transaction and runs steps in it, one after the other; stops at an error, and may stop at a
    /// step that changed another number of rows than it must. The transaction stays open.
    fn run(connection: &mut Self::Connection, steps: Vec<Step<'_>>) -> impl Future<Output = Ran> + Send;

    /// Ends the open transaction: `COMMIT` or `ROLLBACK`.
    fn end(
        connection: &mut Self::Connection,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Runs a statement and answers its rows, not yet read.
    fn fetch(
        connection: &mut Self::Connection,
        statement: Statement<'_>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;

    /// Reads a value of a row.
    fn value(row: &Self::Row, index: usize, column: &Column) -> Result<Value, BoxDynError>;

    /// Whether an error of this code comes again, however often the statement is sent: it is the content.
    fn is_refusal(code: &str) -> bool;

    /// Whether an error of this code means that the connection is gone.
    fn is_farewell(code: &str) -> bool;
}

/// The rows of an answer, with these columns.
pub(crate) fn rows<DB: SqlDatabase>(answer: &[DB::Row], columns: &[Column]) -> Result<Vec<Row>, sqlx::Error> {
    let value = |row: &DB::Row, index: usize, column: &Column| {
        let misread = |source| sqlx::Error::ColumnDecode { index: column.name.to_owned(), source };
        DB::value(row, index, column).map_err(misread)
    };
    let row = |row: &DB::Row| {
        let values = columns.iter().enumerate().map(|(index, column)| value(row, index, column));
        values.collect::<Result<_, sqlx::Error>>().map(Row)
    };
    answer.iter().map(row).collect()
}

/// An error of a read, or of a small write beside the log.
pub(crate) fn store_error<DB: SqlDatabase>(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolClosed => StoreError::Closed,
        error if is_broken::<DB>(error) => StoreError::Broken(error.to_string()),
        error => StoreError::Unavailable(error.to_string().into()),
    }
}

/// An error before COMMIT: nothing was written.
pub(crate) fn commit_error<DB: SqlDatabase>(error: &sqlx::Error) -> CommitError {
    if is_broken::<DB>(error) {
        CommitError::Broken(error.to_string())
    } else {
        CommitError::Unavailable(error.to_string().into())
    }
}

/// What no repetition makes better. Everything else passes: locks, timeouts, restarts, lost connections.
fn is_broken<DB: SqlDatabase>(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| DB::is_refusal(&code)),
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}

pub(crate) fn is_connection_lost<DB: SqlDatabase>(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| DB::is_farewell(&code)),
        _ => false,
    }
}
