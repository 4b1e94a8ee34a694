//! The statement writer: the one place that builds SQL text. It knows tables as values and two dialects;
//! names come from `&'static` tables only, everything else is a parameter.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use robson_eventlog::{
    Column, ColumnKind, Direction, EventQuery, Row, RowQuery, StreamMove, Table, TenantId, Value,
};
use sqlx::types::JsonValue;

use super::tables::EVENT_LOG;

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Arg {
    /// One value; the kind types a NULL.
    One(ColumnKind, Value),
    /// A column of values, as an array (Postgres only).
    Many(ColumnKind, Vec<Value>),
}

/// A statement and its parameters, `$1` first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub(crate) sql: Cow<'static, str>,
    pub(crate) args: Vec<Arg>,
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

impl Statement {
    /// The text of a file, with its parameters, none of which is NULL.
    pub(crate) fn fixed(sql: &'static str, values: impl IntoIterator<Item = Value>) -> Self {
        let arg = |value: Value| Arg::One(value.kind().unwrap_or(ColumnKind::Text), value);
        Self { sql: Cow::Borrowed(sql), args: values.into_iter().map(arg).collect() }
    }

    fn new(sql: &str) -> Self {
        Self { sql: Cow::Owned(sql.to_owned()), args: Vec::new() }
    }

    /// Adds a parameter and answers its name.
    fn arg(&mut self, kind: ColumnKind, value: Value) -> String {
        self.args.push(Arg::One(kind, value));
        format!("${}", self.args.len())
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

/// How many rows one SQLite statement writes: a few fixed sizes, so that each is prepared once.
const VALUES_SIZES: [usize; 4] = [64, 16, 4, 1];

/// The statements that insert rows.
pub(crate) fn insert(
    dialect: Dialect,
    tenant: TenantId,
    table: &Table,
    rows: &[Row],
    on_conflict: OnConflict,
) -> Vec<Statement> {
    match dialect {
        Dialect::Postgres if rows.is_empty() => Vec::new(),
        Dialect::Postgres if on_conflict == OnConflict::Replace => {
            vec![insert_unnest(tenant, table, last_per_key(table, rows), on_conflict)]
        }
        Dialect::Postgres => vec![insert_unnest(tenant, table, rows.iter().collect(), on_conflict)],
        Dialect::Sqlite => {
            let mut statements = Vec::new();
            let mut rest = rows;
            while let Some(size) = VALUES_SIZES.iter().copied().find(|size| *size <= rest.len()) {
                let (chunk, after) = rest.split_at(size);
                statements.push(insert_values(tenant, table, chunk, on_conflict));
                rest = after;
            }
            statements
        }
    }
}

fn insert_values(tenant: TenantId, table: &Table, rows: &[Row], on_conflict: OnConflict) -> Statement {
    let head = format!("INSERT INTO {} (tenant_id, {}) VALUES ", table.name, names(table.columns));
    let mut statement = Statement::new(&head);
    let tenant = statement.arg(ColumnKind::Uuid, Value::Uuid(tenant.0));
    for (index, row) in rows.iter().enumerate() {
        statement.push(if index == 0 { "(" } else { ", (" });
        statement.push(&tenant);
        for (column, value) in table.columns.iter().zip(&row.0) {
            let name = statement.arg(column.kind, value.clone());
            let _ = write!(statement.sql.to_mut(), ", {name}");
        }
        statement.push(")");
    }
    push_on_conflict(&mut statement, table, on_conflict);
    statement
}

/// Postgres replaces no row twice in one statement.
fn last_per_key<'a>(table: &Table, rows: &'a [Row]) -> Vec<&'a Row> {
    let last: BTreeMap<&[Value], &Row> =
        rows.iter().map(|row| (&row.0[..table.key_columns.min(row.0.len())], row)).collect();
    last.into_values().collect()
}

fn insert_unnest(tenant: TenantId, table: &Table, rows: Vec<&Row>, on_conflict: OnConflict) -> Statement {
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
    push_unnest(&mut statement, table.columns, rows.iter().map(|row| row.0.as_slice()));
    let _ = write!(statement.sql.to_mut(), " WITH ORDINALITY AS n ({columns}, place) ORDER BY n.place");
    push_on_conflict(&mut statement, table, on_conflict);
    statement
}

fn push_unnest<'a>(
    statement: &mut Statement,
    columns: &[Column],
    rows: impl Iterator<Item = &'a [Value]> + Clone,
) {
    statement.push("unnest(");
    for (index, column) in columns.iter().enumerate() {
        let values = rows.clone().map(|row| row.get(index).cloned().unwrap_or(Value::Null)).collect();
        statement.args.push(Arg::Many(column.kind, values));
        let comma = if index == 0 { "" } else { ", " };
        let _ =
            write!(statement.sql.to_mut(), "{comma}${}::{}[]", statement.args.len(), array_type(column.kind));
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

fn push_on_conflict(statement: &mut Statement, table: &Table, on_conflict: OnConflict) {
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
pub(crate) fn advance_streams(dialect: Dialect, tenant: TenantId, moves: &[&StreamMove]) -> Statement {
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
pub(crate) fn create_table(dialect: Dialect, table: &Table) -> Statement {
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
pub(crate) fn drop_table(table: &Table) -> Statement {
    Statement::new(&format!("DROP TABLE IF EXISTS {}", table.name))
}

/// The statement that deletes a tenant's rows.
pub(crate) fn delete_rows(tenant: TenantId, table: &Table) -> Statement {
    let mut statement = Statement::new(&format!("DELETE FROM {} WHERE tenant_id = ", table.name));
    let tenant = statement.arg(ColumnKind::Uuid, Value::Uuid(tenant.0));
    statement.push(&tenant);
    statement
}

/// The statement that copies a tenant's rows into another table of the same columns, by rising key.
pub(crate) fn copy_rows(tenant: TenantId, from: &Table, to: &Table) -> Statement {
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

/// How many keys one SQLite statement asks for.
const KEYS_MAX: usize = 500;

/// The statements that read rows, together in the order of their keys.
pub(crate) fn select(dialect: Dialect, tenant: TenantId, table: &Table, query: &RowQuery) -> Vec<Statement> {
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
) -> Statement {
    let columns = names(table.columns);
    let key = names(table.key());
    let mut statement = Statement::new(&format!("SELECT {columns} FROM {} WHERE tenant_id = ", table.name));
    let tenant = statement.arg(ColumnKind::Uuid, Value::Uuid(tenant.0));
    statement.push(&tenant);
    if !keys.is_empty() {
        let _ = write!(statement.sql.to_mut(), " AND ({key}) IN (");
        if dialect == Dialect::Postgres {
            statement.push("SELECT * FROM ");
            push_unnest(&mut statement, table.key(), keys.iter().map(Vec::as_slice));
        } else {
            statement.push("VALUES ");
            for (index, key) in keys.iter().enumerate() {
                statement.push(if index == 0 { "" } else { ", " });
                push_tuple(&mut statement, table.key(), key);
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
            let arg = statement.arg(kind, value.clone());
            let _ = write!(statement.sql.to_mut(), " AND {name} = {arg}");
        }
    }
    if let Some(after) = &query.after {
        let _ = write!(statement.sql.to_mut(), " AND ({key}) > ");
        push_tuple(&mut statement, table.key(), after);
    }
    let _ = write!(statement.sql.to_mut(), " ORDER BY {key}");
    if let Some(limit) = query.limit {
        push_limit(&mut statement, limit);
    }
    statement
}

fn push_tuple(statement: &mut Statement, columns: &[Column], values: &[Value]) {
    statement.push("(");
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        let arg = statement.arg(column.kind, value.clone());
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(statement.sql.to_mut(), "{comma}{arg}");
    }
    statement.push(")");
}

fn push_limit(statement: &mut Statement, limit: usize) {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let arg = statement.arg(ColumnKind::Integer, Value::Integer(limit));
    let _ = write!(statement.sql.to_mut(), " LIMIT {arg}");
}

/// Reads events, the head and the stream's version in one snapshot. The first column is the head, the
/// second the stream's version; the event's columns are NULL where there is none.
pub(crate) fn select_events(dialect: Dialect, query: &EventQuery) -> Statement {
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

fn push_conditions(statement: &mut Statement, dialect: Dialect, query: &EventQuery) {
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
    use robson_eventlog::Timestamp;
    use uuid::Uuid;

    use super::*;
    use robson_eventlog::log_tables::STREAM_STATE;

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

    fn text(statements: &[Statement]) -> String {
        let text =
            |statement: &Statement| format!("{};\n-- {} parameters", statement.sql, statement.args.len());
        statements.iter().map(text).collect::<Vec<_>>().join("\n")
    }

    /// The text of one kind of statement, in both dialects.
    fn both(write: impl Fn(Dialect) -> Vec<Statement>) -> String {
        let of = |dialect| format!("-- {dialect:?}\n{}", text(&write(dialect)));
        format!("{}\n\n{}", of(Dialect::Sqlite), of(Dialect::Postgres))
    }

    #[test]
    fn rows_are_inserted_set_based() {
        insta::assert_snapshot!(both(|dialect| insert(dialect, TENANT, &SAMPLE, &rows(2), OnConflict::Keep)));
    }

    #[test]
    fn rows_are_replaced_by_key() {
        insta::assert_snapshot!(both(|dialect| insert(
            dialect,
            TENANT,
            &SAMPLE,
            &rows(1),
            OnConflict::Replace
        )));
    }

    #[test]
    fn a_statement_is_one_of_few_texts() {
        let sizes = |count| {
            let statements = insert(Dialect::Sqlite, TENANT, &STREAM_STATE, &rows(count), OnConflict::Keep);
            statements.iter().map(|statement| statement.args.len() / 2).collect::<Vec<_>>()
        };
        assert_eq!(sizes(0), Vec::<usize>::new());
        assert_eq!(sizes(151), [64, 64, 16, 4, 1, 1, 1]);
        let unnest = |count| insert(Dialect::Postgres, TENANT, &SAMPLE, &rows(count), OnConflict::Keep);
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
