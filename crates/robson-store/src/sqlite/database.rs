//! What SQLite adds to the shared SQL: running a statement, and the codes of its errors.

use futures_util::TryStreamExt as _;
use robson_eventlog::{Column, Value};
use sqlx::error::BoxDynError;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Either, Executor as _};

use super::value;
use crate::sql::database::{Ran, SqlDatabase, Step};
use crate::sql::statement::{Dialect, Statement};

impl SqlDatabase for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const BEGIN_READ: &'static str = "BEGIN DEFERRED";

    async fn execute(
        connection: &mut SqliteConnection,
        statement: Statement<'_>,
    ) -> Result<u64, sqlx::Error> {
        Ok(value::query(statement)?.execute(connection).await?.rows_affected())
    }

    /// Everything small goes to the connection's thread as one text, because asking it costs more than most
    /// statements do. Statements of the greatest size are texts of their own: how many of them a transaction
    /// has would make too many texts to keep prepared.
    async fn run(connection: &mut SqliteConnection, steps: Vec<Step<'_>>) -> Ran {
        let mut ran = Ran::default();
        let mut script = Script::new(Self::BEGIN);
        for Step { statement, .. } in steps {
            let is_full = statement.is_full();
            if is_full && !script.run(connection, &mut ran).await {
                break;
            }
            if let Err(error) = script.push(statement) {
                ran.error = Some(error);
                break;
            }
            if is_full && !script.run(connection, &mut ran).await {
                break;
            }
        }
        if ran.error.is_none() {
            script.run(connection, &mut ran).await;
        }
        // BEGIN answers first, and changes nothing.
        ran.changed.drain(..ran.changed.len().min(1));
        ran
    }

    async fn end(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(connection).await.map(|_| ())
    }

    async fn fetch(
        connection: &mut SqliteConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        value::query(statement)?.fetch_all(connection).await
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

/// Statements that are run as one text.
#[derive(Debug)]
struct Script {
    sql: String,
    arguments: SqliteArguments,
}

impl Script {
    fn new(first: &str) -> Self {
        Self { sql: first.to_owned(), arguments: SqliteArguments::default() }
    }

    fn push(&mut self, statement: Statement<'_>) -> Result<(), sqlx::Error> {
        if !self.sql.is_empty() {
            self.sql.push_str(";\n");
        }
        let Statement { sql, args } = in_order(statement);
        self.sql.push_str(sql.trim_end().trim_end_matches(';'));
        value::bind(&mut self.arguments, args)
    }

    /// Runs what there is; answers whether all of it went well.
    async fn run(&mut self, connection: &mut SqliteConnection, ran: &mut Ran) -> bool {
        if self.sql.is_empty() {
            return true;
        }
        let Self { sql, arguments } = std::mem::replace(self, Self::new(""));
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        let mut results = connection.fetch_many(query);
        loop {
            match results.try_next().await {
                Ok(Some(Either::Left(done))) => ran.changed.push(done.rows_affected()),
                Ok(Some(Either::Right(_))) => {}
                Ok(None) => return true,
                Err(error) => {
                    ran.error = Some(error);
                    return false;
                }
            }
        }
    }
}

/// A statement whose numbered parameters are bare ones, in the order in which the text names them: in a text of
/// several statements a number would count all their parameters.
fn in_order(statement: Statement<'_>) -> Statement<'_> {
    let Statement { sql, args } = statement;
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut ordered = Vec::new();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let arg = number.parse::<usize>().ok().and_then(|number| args.get(number.checked_sub(1)?));
        ordered.extend(arg.cloned());
        text.push('?');
        text.push_str(rest);
    }
    if ordered.is_empty() { Statement { sql, args } } else { Statement { sql: text.into(), args: ordered } }
}
