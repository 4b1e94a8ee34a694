//! How values are bound to Postgres statements and read back: every kind has a native type.

use chrono::{DateTime, Utc};
use robson_eventlog::{Column, ColumnKind, Payload, Timestamp, Value};
use rust_decimal::Decimal;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::types::JsonValue;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use crate::sql::statement::{Arg, Statement};

pub(super) type PgQuery = Query<'static, Postgres, PgArguments>;

/// The statement with its parameters bound.
pub(super) fn query(statement: Statement) -> PgQuery {
    let query = sqlx::query(AssertSqlSafe(statement.sql));
    statement.args.into_iter().fold(query, |query, arg| match arg {
        Arg::One(kind, value) => bind(query, kind, value),
        Arg::Many(kind, values) => bind_array(query, kind, values),
    })
}

/// NULL has a type too, and so has a value of another kind, which no column holds.
fn bind(query: PgQuery, kind: ColumnKind, value: Value) -> PgQuery {
    match kind {
        ColumnKind::Text => query.bind(text(value)),
        ColumnKind::Uuid => query.bind(uuid(value)),
        ColumnKind::Integer => query.bind(integer(value)),
        ColumnKind::Decimal => query.bind(decimal(value)),
        ColumnKind::Timestamp => query.bind(timestamp(value)),
        ColumnKind::Boolean => query.bind(boolean(value)),
        ColumnKind::Json => query.bind(json(value)),
        ColumnKind::Bytes => query.bind(bytes(value)),
    }
}

fn bind_array(query: PgQuery, kind: ColumnKind, values: Vec<Value>) -> PgQuery {
    fn all<T>(values: Vec<Value>, unwrap: impl Fn(Value) -> Option<T>) -> Vec<Option<T>> {
        values.into_iter().map(unwrap).collect()
    }
    match kind {
        ColumnKind::Text => query.bind(all(values, text)),
        ColumnKind::Uuid => query.bind(all(values, uuid)),
        ColumnKind::Integer => query.bind(all(values, integer)),
        ColumnKind::Decimal => query.bind(all(values, decimal)),
        ColumnKind::Timestamp => query.bind(all(values, timestamp)),
        ColumnKind::Boolean => query.bind(all(values, boolean)),
        ColumnKind::Json => query.bind(all(values, json_text)),
        ColumnKind::Bytes => query.bind(all(values, bytes)),
    }
}

macro_rules! unwrap_kind {
    ($name:ident, $variant:ident, $value:ident => $take:expr, $type:ty) => {
        fn $name(value: Value) -> Option<$type> {
            if let Value::$variant($value) = value { Some($take) } else { None }
        }
    };
}

unwrap_kind!(text, Text, text => text, String);
unwrap_kind!(uuid, Uuid, id => id, Uuid);
unwrap_kind!(integer, Integer, integer => integer, i64);
unwrap_kind!(decimal, Decimal, decimal => decimal, Decimal);
unwrap_kind!(timestamp, Timestamp, at => at.to_datetime(), DateTime<Utc>);
unwrap_kind!(boolean, Boolean, yes => yes, bool);
unwrap_kind!(json, Json, payload => payload.value(), JsonValue);
unwrap_kind!(json_text, Json, payload => payload.as_str().to_owned(), String);
unwrap_kind!(bytes, Bytes, bytes => bytes, Vec<u8>);

/// The value of a column.
pub(super) fn value(row: &PgRow, index: usize, column: &Column) -> Result<Value, BoxDynError> {
    macro_rules! get {
        ($type:ty) => {
            row.try_get::<Option<$type>, _>(index)?
        };
    }
    Ok(match column.kind {
        ColumnKind::Text => get!(String).map_or(Value::Null, Value::Text),
        ColumnKind::Uuid => get!(Uuid).map_or(Value::Null, Value::Uuid),
        ColumnKind::Integer => get!(i64).map_or(Value::Null, Value::Integer),
        ColumnKind::Decimal => get!(Decimal).map_or(Value::Null, Value::decimal),
        ColumnKind::Boolean => get!(bool).map_or(Value::Null, Value::Boolean),
        ColumnKind::Bytes => get!(Vec<u8>).map_or(Value::Null, Value::Bytes),
        ColumnKind::Timestamp => match get!(DateTime<Utc>) {
            None => Value::Null,
            Some(at) => Value::Timestamp(Timestamp::try_from(at)?),
        },
        // jsonb keeps its own order of keys; the payload is canonical again.
        ColumnKind::Json => match get!(JsonValue) {
            None => Value::Null,
            Some(json) => Value::Json(Payload::new(&json)?),
        },
    })
}
