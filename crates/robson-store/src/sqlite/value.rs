//! How values are bound to SQLite statements and read back: instants, ids and decimals are text.

use robson_eventlog::{Column, ColumnKind, Payload, Row, StoreError, Value};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::sql::statement::{Arg, Statement};

pub(super) type SqliteQuery = Query<'static, Sqlite, SqliteArguments>;

/// The statement with its parameters bound.
pub(super) fn query(statement: Statement) -> SqliteQuery {
    let query = sqlx::query(AssertSqlSafe(statement.sql));
    statement.args.into_iter().fold(query, |query, arg| match arg {
        Arg::One(_, value) => bind(query, value),
        Arg::Many(..) => unreachable!("arrays are written for Postgres only"),
    })
}

pub(super) fn bind(query: SqliteQuery, value: Value) -> SqliteQuery {
    match value {
        Value::Null => query.bind(None::<i64>),
        Value::Text(text) => query.bind(text),
        Value::Uuid(id) => query.bind(id.hyphenated().to_string()),
        Value::Integer(integer) => query.bind(integer),
        Value::Decimal(decimal) => query.bind(decimal.to_string()),
        Value::Timestamp(at) => query.bind(at.to_string()),
        Value::Boolean(yes) => query.bind(i64::from(yes)),
        Value::Json(payload) => query.bind(payload.as_str().to_owned()),
        Value::Bytes(bytes) => query.bind(bytes),
    }
}

/// The columns of a row from `first` on.
pub(super) fn row(row: &SqliteRow, first: usize, columns: &[Column]) -> Result<Row, StoreError> {
    let values = columns.iter().enumerate().map(|(index, column)| value(row, first + index, column));
    values.collect::<Result<Vec<Value>, StoreError>>().map(Row)
}

fn value(row: &SqliteRow, index: usize, column: &Column) -> Result<Value, StoreError> {
    let broken = |what: &dyn std::fmt::Display| StoreError::Broken(format!("column {}: {what}", column.name));
    if column.kind == ColumnKind::Integer || column.kind == ColumnKind::Boolean {
        let integer: Option<i64> = row.try_get(index).map_err(|error| broken(&error))?;
        return Ok(match integer {
            None => Value::Null,
            Some(integer) if column.kind == ColumnKind::Integer => Value::Integer(integer),
            Some(integer) => Value::Boolean(integer != 0),
        });
    }
    if column.kind == ColumnKind::Bytes {
        let bytes: Option<Vec<u8>> = row.try_get(index).map_err(|error| broken(&error))?;
        return Ok(bytes.map_or(Value::Null, Value::Bytes));
    }
    let text: Option<String> = row.try_get(index).map_err(|error| broken(&error))?;
    let Some(text) = text else { return Ok(Value::Null) };
    match column.kind {
        ColumnKind::Uuid => text.parse().map(Value::Uuid).map_err(|error| broken(&error)),
        ColumnKind::Decimal => text.parse().map(Value::decimal).map_err(|error| broken(&error)),
        ColumnKind::Timestamp => text.parse().map(Value::Timestamp).map_err(|error| broken(&error)),
        ColumnKind::Json => Payload::parse(&text).map(Value::Json).map_err(|error| broken(&error)),
        _ => Ok(Value::Text(text)),
    }
}
