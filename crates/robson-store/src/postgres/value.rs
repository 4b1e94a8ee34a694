//! How values are bound to Postgres statements and read back: every kind has a native type.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use robson_eventlog::{Column, ColumnKind, Payload, Timestamp, Value};
use rust_decimal::Decimal;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::types::JsonValue;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use crate::sql::record::Cell;
use crate::sql::statement::{Arg, Statement};

pub(super) type PgQuery = Query<'static, Postgres, PgArguments>;

/// The statement with its parameters bound.
pub(super) fn query(statement: Statement<'_>) -> PgQuery {
    let query = sqlx::query(AssertSqlSafe(statement.sql));
    statement.args.into_iter().fold(query, |query, arg| match arg {
        Arg::One(kind, value) => bind(query, kind, Cell::from(&value)),
        Arg::Many(kind, values) => bind_array(query, kind, values.iter().map(Cell::from)),
        Arg::Columns(columns, records) => columns.iter().enumerate().fold(query, |query, (index, column)| {
            bind_array(query, column.kind, records.iter().map(|record| record.cell(index)))
        }),
        Arg::Rows(..) => unreachable!("rows of values are written for SQLite only"),
    })
}

/// NULL has a type too, and so has a value of another kind, which no column holds.
fn bind(query: PgQuery, kind: ColumnKind, cell: Cell<'_>) -> PgQuery {
    match kind {
        ColumnKind::Text => query.bind(text(cell)),
        ColumnKind::Uuid => query.bind(uuid(cell)),
        ColumnKind::Integer => query.bind(integer(cell)),
        ColumnKind::Decimal => query.bind(decimal(cell)),
        ColumnKind::Timestamp => query.bind(timestamp(cell)),
        ColumnKind::Boolean => query.bind(boolean(cell)),
        ColumnKind::Json => query.bind(json(cell)),
        ColumnKind::Bytes => query.bind(bytes(cell)),
    }
}

fn bind_array<'a>(query: PgQuery, kind: ColumnKind, cells: impl Iterator<Item = Cell<'a>>) -> PgQuery {
    match kind {
        ColumnKind::Text => query.bind(cells.map(text).collect::<Vec<_>>()),
        ColumnKind::Uuid => query.bind(cells.map(uuid).collect::<Vec<_>>()),
        ColumnKind::Integer => query.bind(cells.map(integer).collect::<Vec<_>>()),
        ColumnKind::Decimal => query.bind(cells.map(decimal).collect::<Vec<_>>()),
        ColumnKind::Timestamp => query.bind(cells.map(timestamp).collect::<Vec<_>>()),
        ColumnKind::Boolean => query.bind(cells.map(boolean).collect::<Vec<_>>()),
        ColumnKind::Json => query.bind(cells.map(json_text).collect::<Vec<_>>()),
        ColumnKind::Bytes => query.bind(cells.map(bytes).collect::<Vec<_>>()),
    }
}

macro_rules! unwrap_kind {
    ($name:ident, $variant:ident, $value:ident => $take:expr, $type:ty) => {
        fn $name(cell: Cell<'_>) -> Option<$type> {
            if let Cell::$variant($value) = cell { Some($take) } else { None }
        }
    };
}

unwrap_kind!(text, Text, text => text, Cow<'_, str>);
unwrap_kind!(uuid, Uuid, id => id, Uuid);
unwrap_kind!(integer, Integer, integer => integer, i64);
unwrap_kind!(decimal, Decimal, decimal => decimal, Decimal);
unwrap_kind!(timestamp, Timestamp, at => at.to_datetime(), DateTime<Utc>);
unwrap_kind!(boolean, Boolean, yes => yes, bool);
unwrap_kind!(json, Json, payload => payload.value(), JsonValue);
unwrap_kind!(json_text, Json, payload => payload.as_str(), &str);
unwrap_kind!(bytes, Bytes, bytes => bytes, &[u8]);

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
