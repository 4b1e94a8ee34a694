//! The suite's own tables: a tally per stream and of the whole log, and one row of every kind of value.

use robson_eventlog::snapshot::{Part, Scope, Scopes};
use std::sync::LazyLock;

use robson_eventlog::{
    Column, ColumnKind, FoldError, Projection, RecordedEvent, Row, RowKey, RowQuery, Rows, Table, Upcast,
    UpcastError, Upcasters, Value,
};
use rust_decimal::Decimal;
use serde_json::json;

/// What each stream's events add up to.
pub static TALLIES: Table = Table {
    name: "suite_tallies",
    key_columns: 1,
    columns: &[
        Column::required("stream_key", ColumnKind::Text),
        Column::required("events", ColumnKind::Integer),
        Column::required("total", ColumnKind::Decimal),
        Column::required("last_log_seq", ColumnKind::Integer),
        Column::required("happened_at", ColumnKind::Timestamp),
        Column::required("is_even", ColumnKind::Boolean),
        Column::required("last_payload", ColumnKind::Json),
        Column::required("last_hash", ColumnKind::Bytes),
        Column::optional("note", ColumnKind::Text),
        Column::optional("trace_id", ColumnKind::Uuid),
    ],
};

/// What the whole log adds up to: one row, which every event changes.
pub static RUNNING: Table = Table {
    name: "suite_running",
    key_columns: 1,
    columns: &[
        Column::required("name", ColumnKind::Text),
        Column::required("events", ColumnKind::Integer),
        Column::required("last_log_seq", ColumnKind::Integer),
    ],
};

/// A column of every kind that may be absent, under a key of two columns.
pub static SAMPLES: Table = Table {
    name: "suite_samples",
    key_columns: 2,
    columns: &[
        Column::required("name", ColumnKind::Text),
        Column::required("number", ColumnKind::Integer),
        Column::optional("text_value", ColumnKind::Text),
        Column::optional("uuid_value", ColumnKind::Uuid),
        Column::optional("integer_value", ColumnKind::Integer),
        Column::optional("decimal_value", ColumnKind::Decimal),
        Column::optional("timestamp_value", ColumnKind::Timestamp),
        Column::optional("boolean_value", ColumnKind::Boolean),
        Column::optional("json_value", ColumnKind::Json),
        Column::optional("bytes_value", ColumnKind::Bytes),
    ],
};

const RUNNING_KEY: &str = "all";

/// A type that has changed twice: cents, then an amount for each piece, then an amount with a note.
pub(crate) const PRICED: &str = "PRICED";

/// How the suite's one type with a past is read; its steps give another result in any other order.
pub(crate) static UPCASTERS: LazyLock<Upcasters> = LazyLock::new(|| {
    const STEPS: &[Upcast] = &[
        |old| match old["cents"].as_i64() {
            Some(cents) => {
                let each = Decimal::new(cents, 2).normalize();
                Ok(json!({"each": each.to_string(), "pieces": old["pieces"]}))
            }
            None => Err("no `cents`".to_owned()),
        },
        |old| match (old["each"].as_str().map(str::parse::<Decimal>), old["pieces"].as_i64()) {
            (Some(Ok(each)), Some(pieces)) => {
                let amount = each.checked_mul(pieces.into()).ok_or("too much")?.normalize();
                Ok(json!({"amount": amount.to_string(), "note": format!("{pieces} pieces")}))
            }
            _ => Err("no `each`, or no `pieces`".to_owned()),
        },
    ];
    Upcasters::new([(PRICED, STEPS)])
});

/// Folds events into [`TALLIES`] and [`RUNNING`]; refuses an event whose payload says `"refuse": true`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally;

impl Tally {
    fn stream_key(event: &RecordedEvent) -> RowKey {
        RowKey { table: TALLIES.name, key: vec![Value::Text(event.stream.as_str().to_owned())] }
    }

    fn running_key() -> RowKey {
        RowKey { table: RUNNING.name, key: vec![Value::Text(RUNNING_KEY.to_owned())] }
    }
}

impl Projection for Tally {
    fn tables(&self) -> &[&'static Table] {
        static TABLES: [&Table; 2] = [&TALLIES, &RUNNING];
        &TABLES
    }

    fn keys(&self, event: &RecordedEvent, _rows: &Rows) -> Result<Vec<RowKey>, FoldError> {
        Ok(vec![Self::stream_key(event), Self::running_key()])
    }

    fn is_deduplicated(&self, event: &RecordedEvent) -> bool {
        event.stream.category() == "keyed"
    }

    fn fold(&self, event: &RecordedEvent, rows: &mut Rows) -> Result<(), FoldError> {
        let payload = match UPCASTERS.payload(event) {
            Err(UpcastError::UnknownType(_)) => event.payload.value(),
            known => known.map_err(|e| FoldError::Broken(format!("event {}: {e}", event.log_seq)))?,
        };
        let events = 1 + integer(rows.get(&Self::running_key()), &RUNNING, "events");
        rows.put(
            &RUNNING,
            Row(vec![
                Value::Text(RUNNING_KEY.to_owned()),
                Value::Integer(events),
                Value::Integer(event.log_seq),
            ]),
        );
        // Refused after a row was changed: the change must be taken back.
        if payload["refuse"] == true {
            return Err(FoldError::Refused("the event says so".to_owned()));
        }
        let amount: Decimal = match payload["amount"].as_str() {
            Some(text) => text.parse().map_err(|_| FoldError::Broken(format!("amount {text}")))?,
            None => Decimal::ZERO,
        };
        let before = rows.get(&Self::stream_key(event));
        let events = 1 + integer(before, &TALLIES, "events");
        let total = match before.and_then(|row| row.get(&TALLIES, "total")) {
            Some(Value::Decimal(total)) => *total,
            _ => Decimal::ZERO,
        };
        let total = total.checked_add(amount).ok_or_else(|| FoldError::Broken("the total".to_owned()))?;
        rows.put(
            &TALLIES,
            Row(vec![
                Value::Text(event.stream.as_str().to_owned()),
                Value::Integer(events),
                Value::decimal(total),
                Value::Integer(event.log_seq),
                Value::Timestamp(event.occurred_at),
                Value::Boolean(events % 2 == 0),
                Value::Json(event.payload.clone()),
                Value::Bytes(event.hash.0.to_vec()),
                payload["note"].as_str().map_or(Value::Null, |note| Value::Text(note.to_owned())),
                event.trace.trace_id.map_or(Value::Null, Value::Uuid),
            ]),
        );
        Ok(())
    }
}

/// The scopes of the tallies: one for each stream, with the running row as context.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TallyScopes;

impl TallyScopes {
    /// The kind of the scopes.
    pub(crate) const KIND: &'static str = "tally";

    /// The scope of a stream.
    pub(crate) fn of(stream_key: &str) -> Scope {
        Scope { kind: Self::KIND, id: stream_key.to_owned() }
    }
}

impl Scopes for TallyScopes {
    fn fold_version(&self) -> i64 {
        3
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[Self::KIND]
    }

    fn anchor(&self, _scope: &Scope) -> Option<RowKey> {
        None
    }

    fn parts(&self, scope: &Scope, _anchor: Option<&Row>) -> Vec<Part> {
        let keyed = |key: &str| RowQuery::keys(vec![vec![Value::Text(key.to_owned())]]);
        vec![
            Part { table: &TALLIES, query: keyed(&scope.id), is_context: false },
            Part { table: &RUNNING, query: keyed(RUNNING_KEY), is_context: true },
        ]
    }

    fn owners(&self, table: &Table, row: &Row, _find: &dyn Fn(&RowKey) -> Option<Row>) -> Vec<Scope> {
        match row.get(table, "stream_key") {
            Some(Value::Text(stream_key)) => vec![Self::of(stream_key)],
            _ => Vec::new(),
        }
    }

    fn names(&self, event: &RecordedEvent) -> Vec<Scope> {
        vec![Self::of(event.stream.as_str())]
    }
}

fn integer(row: Option<&Row>, table: &Table, column: &str) -> i64 {
    match row.and_then(|row| row.get(table, column)) {
        Some(Value::Integer(integer)) => *integer,
        _ => 0,
    }
}
