//! What Postgres adds to the shared SQL: running a statement, and the codes of its errors.

use robson_eventlog::{Column, Value};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgConnection, PgRow, Postgres};

use super::value;
use crate::sql::database::SqlDatabase;
use crate::sql::statement::{Dialect, Statement};

impl SqlDatabase for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;
    /// The server's default isolation and access mode are somebody else's choice.
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
    const BEGIN_READ: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

    async fn execute(connection: &mut PgConnection, statement: Statement) -> Result<u64, sqlx::Error> {
        Ok(value::query(statement).execute(connection).await?.rows_affected())
    }

    async fn fetch(connection: &mut PgConnection, statement: Statement) -> Result<Vec<PgRow>, sqlx::Error> {
        value::query(statement).fetch_all(connection).await
    }

    fn value(row: &PgRow, index: usize, column: &Column) -> Result<Value, BoxDynError> {
        value::value(row, index, column)
    }

    /// Data, one row twice, constraints, names and rights, a trigger's refusal, corrupted files.
    fn is_refusal(code: &str) -> bool {
        ["21", "22", "23", "42", "P0", "XX"].iter().any(|class| code.starts_with(class))
    }

    /// The server is shutting down, or somebody ended the session.
    fn is_farewell(code: &str) -> bool {
        code.starts_with("57P")
    }
}
