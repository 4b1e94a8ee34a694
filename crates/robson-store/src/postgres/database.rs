//! What Postgres adds to the shared SQL: running a statement, and the codes of its errors.

use robson_eventlog::{Column, Value};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgConnection, PgRow, Postgres};

use super::value;
use crate::sql::database::{Ran, SqlDatabase, Step};
use crate::sql::statement::{Dialect, Statement};

impl SqlDatabase for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;
    /// The server's default isolation and access mode are somebody else's choice.
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
    const BEGIN_READ: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

    async fn execute(connection: &mut PgConnection, statement: Statement<'_>) -> Result<u64, sqlx::Error> {
        Ok(value::query(statement).execute(connection).await?.rows_affected())
    }

    async fn run(connection: &mut PgConnection, steps: Vec<Step<'_>>) -> Ran {
        let mut ran = Ran { changed: Vec::with_capacity(steps.len()), error: None };
        ran.error = Self::end(connection, Self::BEGIN).await.err();
        for Step { statement, rows } in steps {
            if ran.error.is_some() {
                break;
            }
            match Self::execute(connection, statement).await {
                Ok(changed) => {
                    ran.changed.push(changed);
                    if rows.is_some_and(|rows| rows != changed) {
                        break;
                    }
                }
                Err(error) => ran.error = Some(error),
            }
        }
        ran
    }

    async fn end(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(connection).await.map(|_| ())
    }

    async fn fetch(
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
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
