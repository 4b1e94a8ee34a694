//! What SQLite adds to the shared SQL: running a statement, and the codes of its errors.

use robson_eventlog::{Column, Value};
use sqlx::error::BoxDynError;
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};

use super::value;
use crate::sql::database::SqlDatabase;
use crate::sql::statement::{Dialect, Statement};

impl SqlDatabase for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const BEGIN_READ: &'static str = "BEGIN DEFERRED";

    async fn execute(connection: &mut SqliteConnection, statement: Statement) -> Result<u64, sqlx::Error> {
        Ok(value::query(statement).execute(connection).await?.rows_affected())
    }

    async fn fetch(
        connection: &mut SqliteConnection,
        statement: Statement,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        value::query(statement).fetch_all(connection).await
    }

    fn value(row: &SqliteRow, index: usize, column: &Column) -> Result<Value, BoxDynError> {
        value::value(row, index, column)
    }

    /// A missing table, a damaged file, a value too large, a constraint, a type, no database at all.
    fn is_refusal(code: &str) -> bool {
        // The low byte of an extended code is the primary one.
        code.parse().is_ok_and(|code: u32| matches!(code & 0xff, 1 | 11 | 18 | 19 | 20 | 26))
    }

    /// A file does not hang up.
    fn is_farewell(_code: &str) -> bool {
        false
    }
}
