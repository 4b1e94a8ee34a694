//! How values are bound to SQLite statements and read back: instants, ids and decimals are text.

use robson_eventlog::{Column, ColumnKind, Payload, Value};
use rust_decimal::Decimal;
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

/// What is kept as text and is more than that. Each value has one form: another was written by somebody else, and
/// reading it as the same would hide that.
fn parse(text: &str, kind: ColumnKind) -> Result<Value, BoxDynError> {
    let (value, is_its_form) = match kind {
        ColumnKind::Uuid => {
            let is_its_form = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
            (Value::Uuid(text.parse()?), is_its_form)
        }
        ColumnKind::Decimal => {
            let decimal: Decimal = text.parse()?;
            (Value::decimal(decimal), decimal.normalize().to_string() == text)
        }
        ColumnKind::Timestamp => {
            let is_its_form =
                matches!(text.as_bytes(), [.., b'Z']) && text.len() == 27 && text.as_bytes()[10] == b'T';
            (Value::Timestamp(text.parse()?), is_its_form)
        }
        ColumnKind::Json => {
            let payload = Payload::parse(text)?;
            let is_its_form = payload.as_str() == text;
            (Value::Json(payload), is_its_form)
        }
        _ => (Value::Text(text.to_owned()), true),
    };
    if is_its_form {
        Ok(value)
    } else {
        Err(format!("`{text}` is not the form in which it was written").into())
    }
}
