//! How values are bound to SQLite statements and read back: instants, ids and decimals are text.

use std::sync::Arc;

use robson_eventlog::{Column, ColumnKind, Payload, TenantId, Value};
use rust_decimal::Decimal;
use sqlx::error::BoxDynError;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Row as _};

use crate::sql::record::{Cell, Record};
use crate::sql::statement::{Arg, Statement};

pub(super) type SqliteQuery = Query<'static, Sqlite, SqliteArguments>;

/// The statement with its parameters bound.
///
/// # Errors
/// A value cannot be bound.
pub(super) fn query(statement: Statement<'_>) -> Result<SqliteQuery, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    bind(&mut arguments, statement.args)?;
    Ok(sqlx::query_with(AssertSqlSafe(statement.sql), arguments))
}

/// Binds the parameters of a statement behind those that are there.
pub(super) fn bind(arguments: &mut SqliteArguments, args: Vec<Arg<'_>>) -> Result<(), sqlx::Error> {
    for arg in args {
        let bound = match arg {
            Arg::One(_, value) => bind_cell(arguments, Cell::from(&value)),
            Arg::Rows(tenant, columns, records, empty) => {
                bind_records(arguments, tenant, columns, &records, empty)
            }
            Arg::Many(..) | Arg::Columns(..) => unreachable!("arrays are written for Postgres only"),
        };
        bound.map_err(sqlx::Error::Encode)?;
    }
    Ok(())
}

fn bind_records(
    arguments: &mut SqliteArguments,
    tenant: TenantId,
    columns: &[Column],
    records: &[&dyn Record],
    empty: usize,
) -> Result<(), BoxDynError> {
    arguments.reserve((records.len() + empty) * (columns.len() + 1), 0);
    let tenant: Arc<str> = tenant.to_string().into();
    for record in records {
        arguments.add(Arc::clone(&tenant))?;
        for index in 0..columns.len() {
            bind_cell(arguments, record.cell(index))?;
        }
    }
    for _ in 0..empty * (columns.len() + 1) {
        arguments.add(None::<i64>)?;
    }
    Ok(())
}

fn bind_cell(arguments: &mut SqliteArguments, cell: Cell<'_>) -> Result<(), BoxDynError> {
    let text = |text: &str| Arc::<str>::from(text);
    match cell {
        Cell::Null => arguments.add(None::<i64>),
        Cell::Text(value) => arguments.add(text(&value)),
        Cell::Uuid(id) => arguments.add(text(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))),
        Cell::Integer(integer) => arguments.add(integer),
        Cell::Decimal(decimal) => arguments.add(text(&decimal.to_string())),
        Cell::Timestamp(at) => arguments.add(text(&at.to_string())),
        Cell::Boolean(yes) => arguments.add(i64::from(yes)),
        Cell::Json(payload) => arguments.add(text(payload.as_str())),
        Cell::Bytes(bytes) => arguments.add(bytes),
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
