//! The statement writer: the one place that builds SQL text. It knows tables as values and two dialects;
//! names come from `&'static` tables only, everything else is a parameter.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use robson_eventlog::{
    Column, ColumnKind, Direction, EventQuery, RowQuery, StreamMove, Table, TenantId, Value,
};
use sqlx::types::JsonValue;

use super::record::Record;
use super::tables::EVENT_LOG;

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A parameter, or many of them.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres")),
    expect(dead_code, reason = "each database takes arguments of its own kind")
)]
pub(crate) enum Arg<'a> {
    /// One value; the kind types a NULL.
    One(ColumnKind, Value),
    /// A column of values, as an array (Postgres only).
    Many(ColumnKind, Vec<Value>),
    /// Records whose columns are one array each (Postgres only).
    Columns(&'a [Column], Vec<&'a dyn Record>),
    /// Records one after the other, value by value, the tenant before each (SQLite only); then so many
    /// records of NULLs.
    Rows(TenantId, &'a [Column], Vec<&'a dyn Record>, usize),
}

/// A statement and its parameters, in the order in which the text names them.
#[derive(Debug, Clone)]
pub(crate) struct Statement<'a> {
    pub(crate) sql: Cow<'static, str>,
    pub(crate) args: Vec<Arg<'a>>,
}

/// The text of the file that each dialect has under one name.
macro_rules! dialect_sql {
    ($dialect:expr, $file:literal) => {
        match $dialect {
            $crate::sql::statement::Dialect::Sqlite => include_str!(concat!("../sqlite/sql/", $file)),
            $crate::sql::statement::Dialect::Postgres => include_str!(concat!("../postgres/sql/", $file)),
        }
    };
}
pub(crate) use dialect_sql;

impl Statement<'_> {
    /// The text of a file, with its parameters, none of which is NULL.
    pub(crate) fn fixed(sql: &'static str, values: impl IntoIterator<Item = Value>) -> Self {
        let arg = |value: Value| Arg::One(value.kind().unwrap_or(ColumnKind::Text), value);
        Self { sql: Cow::Borrowed(sql), args: values.into_iter().map(arg).collect() }
    }

    fn new(sql: &str) -> Self {
        Self { sql: Cow::Owned(sql.to_owned()), args: Vec::new() }
    }

    /// Whether it writes as many records as a statement of SQLite can.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_full(&self) -> bool {
        self.args.iter().any(|arg| matches!(arg, Arg::Rows(_, _, records, _) if records.len() == VALUES_MAX))
    }

    /// Adds a parameter and answers its name.
    fn arg(&mut self, kind: ColumnKind, value: Value) -> String {
        self.args.push(Arg::One(kind, value));
        format!("${}", self.args.len())
    }

    /// Adds a parameter and answers its place: numbered, or on SQLite a bare `?`, because SQLite looks the
    /// names of parameters up one by one whenever a statement is run.
    fn place(&mut self, dialect: Dialect, kind: ColumnKind, value: Value) -> String {
        let name = self.arg(kind, value);
        if dialect == Dialect::Sqlite { "?".to_owned() } else { name }
    }

    fn push(&mut self, sql: &str) {
        self.sql.to_mut().push_str(sql);
    }
}

/// What happens when a key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// Nothing; the count of affected rows tells.
    Keep,
    /// The new row takes its place.
    Replace,
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// How many rows one SQLite statement writes: a few fixed sizes, so that each is prepared once. Rows that are
/// fewer than the next size leave the rest of it NULL, which the statement passes over.
const VALUES_SIZES: [usize; 16] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, VALUES_MAX];
const VALUES_MAX: usize = 256;

/// The statements that insert records, each with how many of them it has.
pub(crate) fn insert<'a>(
    dialect: Dialect,
    tenant: TenantId,
    table: &'static Table,
    records: &[&'a dyn Record],
    on_conflict: OnConflict,
) -> Vec<(Statement<'a>, usize)> {
    let counted = |records: Vec<&'a dyn Record>| {
        let count = records.len();
        let write = if dialect == Dialect::Postgres { insert_unnest } else { insert_values };
        (write(tenant, table, records, on_conflict), count)
    };
    match dialect {
        Dialect::Postgres if records.is_empty() => Vec::new(),
        Dialect::Postgres if on_conflict == OnConflict::Replace => {
            vec![counted(last_per_key(table, records))]
        }
        Dialect::Postgres => vec![counted(records.to_vec())],
        Dialect::Sqlite => records.chunks(VALUES_MAX).map(|chunk| counted(chunk.to_vec())).collect(),
    }
}

fn insert_values<'a>(
    tenant: TenantId,
    table: &'static Table,
    records: Vec<&'a dyn Record>,
    on_conflict: OnConflict,
) -> Statement<'a> {
    let columns = names(table.columns);
    let size = padded(records.len());
    let mut statement = Statement::new(&format!("INSERT INTO {} (tenant_id, {columns}) ", table.name));
    let row = format!("(?{})", ", ?".repeat(table.columns.len()));
    let rows = format!("VALUES {row}{}", format!(", {row}").repeat(size - 1));
    if size == 1 {
        statement.push(&rows);
    } else {
        let selected: Vec<String> = (1..=table.columns.len() + 1).map(|n| format!("column{n}")).collect();
        let selected = selected.join(", ");
        statement.push(&format!("SELECT {selected} FROM ({rows}) WHERE column1 IS NOT NULL"));
    }
    let empty = size - records.len();
    statement.args.push(Arg::Rows(tenant, table.columns, records, empty));
    push_on_conflict(&mut statement, table, on_conflict);
    statement
}

/// The fixed size that so many rows fit into.
fn padded(rows: usize) -> usize {
    VALUES_SIZES.iter().copied().find(|size| *size >= rows).unwrap_or(rows)
}

/// Postgres replaces no row twice in one statement.
fn last_per_key<'a>(table: &Table, records: &[&'a dyn Record]) -> Vec<&'a dyn Record> {
    let key = |record: &'a dyn Record| -> Vec<Value> {
        (0..table.key_columns).map(|index| record.cell(index).into_value()).collect()
    };
    let last: BTreeMap<Vec<Value>, &'a dyn Record> =
        records.iter().map(|record| (key(*record), *record)).collect();
    last.into_values().collect()
}

fn insert_unnest<'a>(
    tenant: TenantId,
    table: &'static Table,
    records: Vec<&'a dyn Record>,
    on_conflict: OnConflict,
) -> Statement<'a> {
    let columns = names(table.columns);
    let mut statement = Statement::new(&format!("INSERT INTO {} (tenant_id, {columns}) SELECT ", table.name));
    let tenant = statement.arg(ColumnKind::Uuid, Value::Uuid(tenant.0));
    let _ = write!(statement.sql.to_mut(), "{tenant}");
    for column in table.columns {
        // JSON travels as text: an array of jsonb cannot tell NULL from null.
        let cast = if column.kind == ColumnKind::Json { "::jsonb" } else { "" };
        let _ = write!(statement.sql.to_mut(), ", n.{}{cast}", column.name);
    }
    statement.push(" FROM ");
    push_unnest(&mut statement, table.columns);
    statement.args.push(Arg::Columns(table.columns, records));
    let _ = write!(statement.sql.to_mut(), " WITH ORDINALITY AS n ({columns}, place) ORDER BY n.place");
    push_on_conflict(&mut statement, table, on_conflict);
    statement
}

/// The arrays of some columns, which are the parameters behind those that the statement has.
fn push_unnest(statement: &mut Statement<'_>, columns: &[Column]) {
    statement.push("unnest(");
    let before = statement.args.len();
    for (index, column) in columns.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let place = before + index + 1;
        let _ = write!(statement.sql.to_mut(), "{comma}${place}::{}[]", array_type(column.kind));
    }
    statement.push(")");
}

const fn array_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text | ColumnKind::Json => "text",
        ColumnKind::Uuid => "uuid",
        ColumnKind::Integer => "bigint",
        ColumnKind::Decimal => "numeric",
        ColumnKind::Timestamp => "timestamptz",
        ColumnKind::Boolean => "boolean",
        ColumnKind::Bytes => "bytea",
    }
}

fn push_on_conflict(statement: &mut Statement<'_>, table: &Table, on_conflict: OnConflict) {
    // The log's uniqueness lives in the tables around it.
    if table.name == EVENT_LOG.name {
        return;
    }
    let key = names(table.key());
    let others: Vec<&Column> = table.columns.iter().skip(table.key_columns).collect();
    match on_conflict {
        OnConflict::Replace if !others.is_empty() => {
            let _ = write!(statement.sql.to_mut(), " ON CONFLICT (tenant_id, {key}) DO UPDATE SET ");
            for (index, column) in others.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                let _ = write!(statement.sql.to_mut(), "{comma}{0} = excluded.{0}", column.name);
            }
        }
        OnConflict::Keep | OnConflict::Replace => {
            let _ = write!(statement.sql.to_mut(), " ON CONFLICT (tenant_id, {key}) DO NOTHING");
        }
    }
}

/// The statement that moves streams which stand where the batch says; the count of affected rows tells.
pub(crate) fn advance_streams(
    dialect: Dialect,
    tenant: TenantId,
    moves: &[&StreamMove],
) -> Statement<'static> {
    let sql = dialect_sql!(dialect, "advance_streams.sql");
    let mut statement = Statement::fixed(sql, [Value::Uuid(tenant.0)]);
    match dialect {
        Dialect::Postgres => {
            let integers = |of: fn(&StreamMove) -> i64| {
                Arg::Many(ColumnKind::Integer, moves.iter().map(|moved| Value::Integer(of(moved))).collect())
            };
            let streams = moves.iter().map(|moved| Value::Text(moved.stream.to_string())).collect();
            statement.args.extend([
                Arg::Many(ColumnKind::Text, streams),
                integers(|moved| moved.expected_seq),
                integers(|moved| moved.last_seq),
            ]);
        }
        Dialect::Sqlite => {
            let moved = |moved: &&StreamMove| {
                let (stream, expected, last) = (moved.stream.as_str(), moved.expected_seq, moved.last_seq);
                JsonValue::from_iter([JsonValue::from(stream), expected.into(), last.into()])
            };
            let moves: JsonValue = moves.iter().map(moved).collect();
            statement.arg(ColumnKind::Text, Value::Text(moves.to_string()));
        }
    }
    statement
}

/// The statement that makes a table as its columns say; migrations make the real ones.
pub(crate) fn create_table(dialect: Dialect, table: &Table) -> Statement<'static> {
    let mut statement = Statement::new("");
    let uuid = column_type(dialect, ColumnKind::Uuid);
    let _ = write!(
        statement.sql.to_mut(),
        "CREATE TABLE IF NOT EXISTS {} (tenant_id {uuid} NOT NULL",
        table.name
    );
    for column in table.columns {
        let not_null = if column.nullable { "" } else { " NOT NULL" };
        let _ = write!(
            statement.sql.to_mut(),
            ", {} {}{not_null}",
            column.name,
            column_type(dialect, column.kind)
        );
    }
    let strict = if dialect == Dialect::Sqlite { " STRICT" } else { "" };
    let _ = write!(statement.sql.to_mut(), ", PRIMARY KEY (tenant_id, {})){strict}", names(table.key()));
    statement
}

/// The statement that drops a table, where it is there.
pub(crate) fn drop_table(table: &Table) -> Statement<'static> {
    Statement::new(&format!("DROP TABLE IF EXISTS {}", table.name))
}

/// The statement that deletes a tenant's rows.
pub(crate) fn delete_rows(tenant: TenantId, table: &Table) -> Statement<'static> {
    let mut statement = Statement::new(&format!("DELETE FROM {} WHERE tenant_id = ", table.name));
    let tenant = statement.arg(ColumnKind::Uuid, Value::Uuid(tenant.0));
    statement.push(&tenant);
    statement
}

/// The statement that copies a tenant's rows into another table of the same columns, by rising key.
pub(crate) fn copy_rows(tenant: TenantId, from: &Table, to: &Table) -> Statement<'static> {
    let columns = names(to.columns);
    let mut statement = Statement::new(&format!(
        "INSERT INTO {} (tenant_id, {columns}) SELECT tenant_id, {columns} FROM {} WHERE tenant_id = ",
        to.name, from.name
    ));
    let tenant = statement.arg(ColumnKind::Uuid, Value::Uuid(tenant.0));
    let _ = write!(statement.sql.to_mut(), "{tenant} ORDER BY {}", names(from.key()));
    statement
}

const fn column_type(dialect: Dialect, kind: ColumnKind) -> &'static str {
    match (dialect, kind) {
        (Dialect::Sqlite, ColumnKind::Integer | ColumnKind::Boolean) => "INTEGER",
        (Dialect::Sqlite, ColumnKind::Bytes) => "BLOB",
        (Dialect::Sqlite, _) => "TEXT",
        (Dialect::Postgres, ColumnKind::Text) => "text COLLATE \"C\"",
        (Dialect::Postgres, ColumnKind::Json) => "jsonb",
        (Dialect::Postgres, kind) => array_type(kind),
    }
}

/// How many keys one SQLite statement asks for, in one of the fixed sizes.
const KEYS_MAX: usize = VALUES_MAX;

/// The statements that read rows, together in the order of their keys.
pub(crate) fn select(
    dialect: Dialect,
    tenant: TenantId,
    table: &Table,
    query: &RowQuery,
) -> Vec<Statement<'static>> {
    if query.keys.is_empty() {
        return vec![select_some(dialect, tenant, table, query, &[])];
    }
    let mut keys = query.keys.clone();
    keys.sort_unstable();
    keys.dedup();
    let chunk = if dialect == Dialect::Postgres { keys.len() } else { KEYS_MAX };
    keys.chunks(chunk).map(|keys| select_some(dialect, tenant, table, query, keys)).collect()
}

fn select_some(
    dialect: Dialect,
    tenant: TenantId,
    table: &Table,
    query: &RowQuery,
    keys: &[Vec<Value>],
) -> Statement<'static> {
    let columns = names(table.columns);
    let key = names(table.key());
    let mut statement = Statement::new(&format!("SELECT {columns} FROM {} WHERE tenant_id = ", table.name));
    let tenant = statement.place(dialect, ColumnKind::Uuid, Value::Uuid(tenant.0));
    statement.push(&tenant);
    if let ([column], Dialect::Postgres) = (table.key(), dialect)
        && !keys.is_empty()
    {
        // Unlike a join with the keys, it never comes to reading the whole table, whatever is known of its size.
        let values = keys.iter().map(|key| key.first().cloned().unwrap_or(Value::Null)).collect();
        statement.args.push(Arg::Many(column.kind, values));
        let place = statement.args.len();
        let array = array_type(column.kind);
        let _ = write!(statement.sql.to_mut(), " AND {key} = ANY(${place}::{array}[])");
    } else if !keys.is_empty() {
        let _ = write!(statement.sql.to_mut(), " AND ({key}) IN (");
        if dialect == Dialect::Postgres {
            statement.push("SELECT * FROM ");
            push_unnest(&mut statement, table.key());
            for (index, column) in table.key().iter().enumerate() {
                let value = |key: &Vec<Value>| key.get(index).cloned().unwrap_or(Value::Null);
                statement.args.push(Arg::Many(column.kind, keys.iter().map(value).collect()));
            }
        } else {
            statement.push("VALUES ");
            // The last key again changes nothing and keeps the text one of a few.
            let last = keys.last().into_iter().cycle();
            for (index, key) in keys.iter().chain(last).take(padded(keys.len())).enumerate() {
                statement.push(if index == 0 { "" } else { ", " });
                push_tuple(&mut statement, dialect, table.key(), key);
            }
        }
        statement.push(")");
    }
    for (name, value) in &query.filters {
        let column = table.columns.iter().find(|column| column.name == *name);
        let kind = column.map_or(ColumnKind::Text, |column| column.kind);
        if *value == Value::Null {
            let _ = write!(statement.sql.to_mut(), " AND {name} IS NULL");
        } else {
            let arg = statement.place(dialect, kind, value.clone());
            let _ = write!(statement.sql.to_mut(), " AND {name} = {arg}");
        }
    }
    if let Some(after) = &query.after {
        let _ = write!(statement.sql.to_mut(), " AND ({key}) > ");
        push_tuple(&mut statement, dialect, table.key(), after);
    }
    let _ = write!(statement.sql.to_mut(), " ORDER BY {key}");
    if let Some(limit) = query.limit {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let limit = statement.place(dialect, ColumnKind::Integer, Value::Integer(limit));
        let _ = write!(statement.sql.to_mut(), " LIMIT {limit}");
    }
    statement
}

fn push_tuple(statement: &mut Statement<'_>, dialect: Dialect, columns: &[Column], values: &[Value]) {
    statement.push("(");
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        let arg = statement.place(dialect, column.kind, value.clone());
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(statement.sql.to_mut(), "{comma}{arg}");
    }
    statement.push(")");
}

/// Reads events, the head and the stream's version in one snapshot. The first column is the head, the
/// second the stream's version; the event's columns are NULL where there is none.
pub(crate) fn select_events(dialect: Dialect, query: &EventQuery) -> Statement<'static> {
    let mut statement = Statement::new("SELECT h.log_seq AS head, ");
    let tenant = statement.arg(ColumnKind::Uuid, Value::Uuid(query.tenant.0));
    match &query.stream {
        Some(stream) => {
            let stream = statement.arg(ColumnKind::Text, Value::Text(stream.to_string()));
            let _ = write!(
                statement.sql.to_mut(),
                "(SELECT s.last_seq FROM stream_state AS s WHERE s.tenant_id = {tenant} AND s.stream_key = {stream})"
            );
        }
        None if dialect == Dialect::Postgres => statement.push("NULL::bigint"),
        None => statement.push("NULL"),
    }
    statement.push(" AS version");
    for column in EVENT_LOG.columns {
        let _ = write!(statement.sql.to_mut(), ", e.{}", column.name);
    }
    let _ = write!(
        statement.sql.to_mut(),
        " FROM log_head AS h LEFT JOIN (SELECT {} FROM event_log WHERE tenant_id = {tenant}",
        names(EVENT_LOG.columns)
    );
    let conditions_from = statement.sql.len();
    push_conditions(&mut statement, dialect, query);
    let order = match query.direction {
        Direction::Forward => "ASC",
        Direction::Backward => "DESC",
    };
    let conditions = statement.sql[conditions_from..].to_owned();
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let limit = statement.arg(ColumnKind::Integer, Value::Integer(limit));
    if let Some(bytes_max) = query.bytes_max {
        // The sizes alone decide where the page ends, before any payload is taken along.
        let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX).max(1);
        let bytes_max = statement.arg(ColumnKind::Integer, Value::Integer(bytes_max));
        let size = match dialect {
            Dialect::Sqlite => "octet_length(payload)",
            Dialect::Postgres => "octet_length(payload::text)",
        };
        let last = match query.direction {
            Direction::Forward => "<= (SELECT max",
            Direction::Backward => ">= (SELECT min",
        };
        let _ = write!(
            statement.sql.to_mut(),
            " AND log_seq {last}(z.log_seq) FROM (SELECT s.log_seq, sum(s.size) OVER (ORDER BY s.log_seq {order}) - s.size \
             AS before FROM (SELECT log_seq, {size} AS size FROM event_log WHERE tenant_id = {tenant}{conditions} \
             ORDER BY log_seq {order} LIMIT {limit}) AS s) AS z WHERE z.before < {bytes_max})"
        );
    }
    let _ = write!(statement.sql.to_mut(), " ORDER BY log_seq {order} LIMIT {limit}");
    let _ = write!(
        statement.sql.to_mut(),
        ") AS e ON TRUE WHERE h.tenant_id = {tenant} ORDER BY e.log_seq {order}"
    );
    statement
}

fn push_conditions(statement: &mut Statement<'_>, dialect: Dialect, query: &EventQuery) {
    let mut also = |condition: &str, kind: ColumnKind, value: Value| {
        let arg = statement.arg(kind, value);
        let _ = write!(statement.sql.to_mut(), " AND {}", condition.replace('?', &arg));
    };
    let text = |text: &str| Value::Text(text.to_owned());
    if query.after > 0 {
        also("log_seq > ?", ColumnKind::Integer, Value::Integer(query.after));
    }
    if query.up_to < i64::MAX {
        also("log_seq <= ?", ColumnKind::Integer, Value::Integer(query.up_to));
    }
    if let Some(stream) = &query.stream {
        also("stream_key = ?", ColumnKind::Text, text(stream.as_str()));
    }
    if let Some(prefix) = query.stream_prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        also("stream_key >= ?", ColumnKind::Text, text(prefix));
        let literal = match dialect {
            Dialect::Sqlite => "substr(stream_key, 1, length(?)) = ?",
            Dialect::Postgres => "starts_with(stream_key, ?)",
        };
        also(literal, ColumnKind::Text, text(prefix));
    }
    if let Some(id) = query.trace_id {
        also("trace_id = ?", ColumnKind::Uuid, Value::Uuid(id));
    }
    if let Some(id) = query.causation_id {
        also("causation_id = ?", ColumnKind::Text, Value::Text(id.to_string()));
    }
    if let Some(id) = query.command_id {
        also("command_id = ?", ColumnKind::Uuid, Value::Uuid(id));
    }
    if let Some(id) = query.workflow_id {
        also("workflow_id = ?", ColumnKind::Uuid, Value::Uuid(id));
    }
    if let Some(from) = query.occurred_from {
        also("occurred_at >= ?", ColumnKind::Timestamp, Value::Timestamp(from));
    }
    if let Some(before) = query.occurred_before {
        also("occurred_at < ?", ColumnKind::Timestamp, Value::Timestamp(before));
    }
    if let Some(id) = &query.entity_id {
        let named = match dialect {
            Dialect::Sqlite => {
                "(substr(stream_key, -length(?) - 1) = ':' || ? OR (json_type(payload) = 'object' AND EXISTS \
                 (SELECT 1 FROM json_each(payload) AS field WHERE field.type = 'text' AND field.value = ?)))"
            }
            Dialect::Postgres => {
                "(right(stream_key, length(?) + 1) = ':' || ? OR (jsonb_typeof(payload) = 'object' AND EXISTS \
                 (SELECT 1 FROM jsonb_each(CASE WHEN jsonb_typeof(payload) = 'object' THEN payload ELSE '{}' END) \
                 AS field WHERE field.value = to_jsonb(?::text))))"
            }
        };
        also(named, ColumnKind::Text, text(id));
    }
    if !query.event_types.is_empty() {
        let types = query.event_types.iter().map(|event_type| text(event_type.as_str()));
        let args: Vec<String> = types.map(|value| statement.arg(ColumnKind::Text, value)).collect();
        let _ = write!(statement.sql.to_mut(), " AND event_type IN ({})", args.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use robson_eventlog::{Row, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::sql::record::records;

    static SAMPLE: Table = Table {
        name: "sample",
        key_columns: 2,
        columns: &[
            Column::required("name", ColumnKind::Text),
            Column::required("number", ColumnKind::Integer),
            Column::optional("amount", ColumnKind::Decimal),
            Column::optional("detail", ColumnKind::Json),
            Column::required("updated_at", ColumnKind::Timestamp),
        ],
    };

    const TENANT: TenantId = TenantId(Uuid::nil());

    fn rows(count: i64) -> Vec<Row> {
        let row = |number| {
            let name = Value::Text("a".to_owned());
            Row(vec![
                name,
                Value::Integer(number),
                Value::Null,
                Value::Null,
                Value::Timestamp(Timestamp::EPOCH),
            ])
        };
        (1..=count).map(row).collect()
    }

    fn parameters(statement: &Statement<'_>) -> usize {
        let count = |arg: &Arg<'_>| match arg {
            Arg::One(..) | Arg::Many(..) => 1,
            Arg::Columns(columns, _) => columns.len(),
            Arg::Rows(_, columns, records, empty) => (records.len() + empty) * (columns.len() + 1),
        };
        statement.args.iter().map(count).sum()
    }

    fn text(statements: &[Statement<'_>]) -> String {
        let text = |statement: &Statement<'_>| {
            format!("{};\n-- {} parameters", statement.sql, parameters(statement))
        };
        statements.iter().map(text).collect::<Vec<_>>().join("\n")
    }

    /// The text of one kind of statement, in both dialects.
    fn both<'a>(write: impl Fn(Dialect) -> Vec<Statement<'a>>) -> String {
        let of = |dialect| format!("-- {dialect:?}\n{}", text(&write(dialect)));
        format!("{}\n\n{}", of(Dialect::Sqlite), of(Dialect::Postgres))
    }

    fn inserted(dialect: Dialect, rows: &[Row], on_conflict: OnConflict) -> Vec<Statement<'_>> {
        let statements = insert(dialect, TENANT, &SAMPLE, &records(rows), on_conflict);
        statements.into_iter().map(|(statement, _)| statement).collect()
    }

    #[test]
    fn rows_are_inserted_set_based() {
        let rows = rows(5);
        insta::assert_snapshot!(both(|dialect| inserted(dialect, &rows, OnConflict::Keep)));
    }

    #[test]
    fn rows_are_replaced_by_key() {
        let rows = rows(1);
        insta::assert_snapshot!(both(|dialect| inserted(dialect, &rows, OnConflict::Replace)));
    }

    #[test]
    fn a_statement_is_one_of_few_texts() {
        let sizes = |count| {
            let rows = rows(count);
            let statements = inserted(Dialect::Sqlite, &rows, OnConflict::Keep);
            statements.iter().map(|statement| parameters(statement) / 6).collect::<Vec<_>>()
        };
        assert_eq!(sizes(0), Vec::<usize>::new());
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(5), [6]);
        assert_eq!(sizes(551), [256, 256, 48]);
        let rows = rows(10_000);
        let unnest = |count| inserted(Dialect::Postgres, &rows[..count], OnConflict::Keep);
        assert!(unnest(0).is_empty());
        assert_eq!(unnest(1)[0].sql, unnest(10_000)[0].sql);
    }

    #[test]
    fn rows_are_moved_from_table_to_table() {
        static NEXT: Table = Table { name: "sample__next", ..SAMPLE };
        insta::assert_snapshot!(both(|_| vec![
            drop_table(&NEXT),
            delete_rows(TENANT, &SAMPLE),
            copy_rows(TENANT, &NEXT, &SAMPLE)
        ]));
    }

    #[test]
    fn rows_are_selected_by_keys() {
        let key = |number| vec![Value::Text("a".to_owned()), Value::Integer(number)];
        let query = RowQuery::keys(vec![key(2), key(1), key(2)]);
        insta::assert_snapshot!(both(|dialect| select(dialect, TENANT, &SAMPLE, &query)));
    }

    #[test]
    fn rows_are_selected_by_filter_and_page() {
        let query = RowQuery {
            filters: vec![("amount", Value::Null), ("number", Value::Integer(1))],
            after: Some(vec![Value::Text("a".to_owned()), Value::Integer(1)]),
            limit: Some(10),
            ..RowQuery::all()
        };
        insta::assert_snapshot!(both(|dialect| select(dialect, TENANT, &SAMPLE, &query)));
    }

    #[test]
    fn events_are_selected_by_everything_at_once() {
        let query = EventQuery {
            after: 1,
            up_to: 9,
            direction: Direction::Backward,
            limit: 5,
            stream: Some("order:1".parse().unwrap()),
            stream_prefix: Some("order:".to_owned()),
            event_types: vec!["A".parse().unwrap(), "B".parse().unwrap()],
            trace_id: Some(Uuid::nil()),
            entity_id: Some("1".to_owned()),
            occurred_from: Some(Timestamp::EPOCH),
            ..EventQuery::all(TENANT)
        };
        insta::assert_snapshot!(both(|dialect| vec![select_events(dialect, &query)]));
    }

    #[test]
    fn events_are_selected_by_size() {
        let query = EventQuery { after: 7, bytes_max: Some(1_000), ..EventQuery::all(TENANT) };
        insta::assert_snapshot!(both(|dialect| vec![select_events(dialect, &query)]));
    }

    #[test]
    fn events_are_selected_plainly() {
        insta::assert_snapshot!(both(|dialect| vec![select_events(dialect, &EventQuery::all(TENANT))]));
    }
}
