//! How values are bound to SQLite statements and read back: instants, ids and decimals are text.

use robson_eventlog::{Column, ColumnKind, Payload, Value};
use sqlx::error::BoxDynError;
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

fn bind(query: SqliteQuery, value: Value) -> SqliteQuery {
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

/// The value of a column.
pub(super) fn value(row: &SqliteRow, index: usize, column: &Column) -> Result<Value, BoxDynError> {
    match column.kind {
        ColumnKind::Integer => Ok(row.try_get::<Option<i64>, _>(index)?.map_or(Value::Null, Value::Integer)),
        ColumnKind::Boolean => {
            let integer: Option<i64> = row.try_get(index)?;
            Ok(integer.map_or(Value::Null, |integer| Value::Boolean(integer != 0)))
        }
        ColumnKind::Bytes => Ok(row.try_get::<Option<Vec<u8>>, _>(index)?.map_or(Value::Null, Value::Bytes)),
        ColumnKind::Text => Ok(row.try_get::<Option<String>, _>(index)?.map_or(Value::Null, Value::Text)),
        ColumnKind::Uuid | ColumnKind::Decimal | ColumnKind::Timestamp | ColumnKind::Json => {
            let text: Option<&str> = row.try_get(index)?;
            text.map_or(Ok(Value::Null), |text| parse(text, column.kind))
        }
    }
}

/// What is kept as text and is more than that.
fn parse(text: &str, kind: ColumnKind) -> Result<Value, BoxDynError> {
    Ok(match kind {
        ColumnKind::Uuid => Value::Uuid(text.parse()?),
        ColumnKind::Decimal => Value::decimal(text.parse()?),
        ColumnKind::Timestamp => Value::Timestamp(text.parse()?),
        ColumnKind::Json => Value::Json(Payload::parse(text)?),
        _ => Value::Text(text.to_owned()),
    })
}
