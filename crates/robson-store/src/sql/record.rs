//! What is written as a row: anything that can tell its values by column, borrowed where it can be.
//!
//! Events are not made into rows first, because most of a commit's work would be copying texts.

use std::borrow::Cow;
use std::fmt::Debug;

use robson_eventlog::{DedupeEntry, Payload, RecordedEvent, Row, StreamMove, Timestamp, Value};
use rust_decimal::Decimal;
use uuid::Uuid;

/// One value of a record.
#[derive(Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Uuid(Uuid),
    Integer(i64),
    Decimal(Decimal),
    Timestamp(Timestamp),
    Boolean(bool),
    Json(&'a Payload),
    Bytes(&'a [u8]),
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Text(text) => text.as_str().into(),
            Value::Uuid(id) => Self::Uuid(*id),
            Value::Integer(integer) => Self::Integer(*integer),
            Value::Decimal(decimal) => Self::Decimal(*decimal),
            Value::Timestamp(at) => Self::Timestamp(*at),
            Value::Boolean(yes) => Self::Boolean(*yes),
            Value::Json(payload) => Self::Json(payload),
            Value::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Cell<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl Cell<'_> {
    /// The value, owned.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text(text) => Value::Text(text.into_owned()),
            Self::Uuid(id) => Value::Uuid(id),
            Self::Integer(integer) => Value::Integer(integer),
            Self::Decimal(decimal) => Value::Decimal(decimal),
            Self::Timestamp(at) => Value::Timestamp(at),
            Self::Boolean(yes) => Value::Boolean(yes),
            Self::Json(payload) => Value::Json(payload.clone()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        }
    }
}

/// What is written as a row of a table.
pub(crate) trait Record: Debug + Sync {
    /// The value of a column, counted as the table's columns are.
    fn cell(&self, column: usize) -> Cell<'_>;
}

/// Records of one kind, as the statement writer takes them.
pub(crate) fn records<R: Record>(records: &[R]) -> Vec<&dyn Record> {
    records.iter().map(|record| record as &dyn Record).collect()
}

fn optional<T>(value: Option<T>, wrap: impl FnOnce(T) -> Cell<'static>) -> Cell<'static> {
    value.map_or(Cell::Null, wrap)
}

impl Record for Row {
    fn cell(&self, column: usize) -> Cell<'_> {
        self.0.get(column).map_or(Cell::Null, Cell::from)
    }
}

/// As the columns of `EVENT_LOG`.
impl Record for RecordedEvent {
    fn cell(&self, column: usize) -> Cell<'_> {
        let trace = &self.trace;
        match column {
            0 => Cell::Integer(self.log_seq),
            1 => self.event_id.to_string().into(),
            2 => self.stream.as_str().into(),
            3 => Cell::Integer(self.seq),
            4 => self.event_type.as_str().into(),
            5 => Cell::Integer(self.schema_version),
            6 => Cell::Json(&self.payload),
            7 => Cell::Timestamp(self.occurred_at),
            8 => Cell::Timestamp(self.ingested_at),
            9 => self.idempotency_key.as_str().into(),
            10 => optional(trace.trace_id, Cell::Uuid),
            11 => optional(trace.causation_id, |id| id.to_string().into()),
            12 => optional(trace.command_id, Cell::Uuid),
            13 => optional(trace.workflow_id, Cell::Uuid),
            14 => self.actor.actor_type.as_str().into(),
            15 => self.actor.id.as_deref().map_or(Cell::Null, Cell::from),
            16 => Cell::Bytes(&self.prev_hash.0),
            17 => Cell::Bytes(&self.hash.0),
            _ => Cell::Null,
        }
    }
}

/// As the columns of `EVENT_IDEMPOTENCY`.
impl Record for DedupeEntry {
    fn cell(&self, column: usize) -> Cell<'_> {
        match column {
            0 => self.key.as_str().into(),
            1 => self.fingerprint.as_str().into(),
            2 => optional(self.event, |(id, _)| id.to_string().into()),
            3 => optional(self.event, |(_, log_seq)| Cell::Integer(log_seq)),
            _ => Cell::Null,
        }
    }
}

/// As the columns of `STREAM_STATE`, when it has moved.
impl Record for StreamMove {
    fn cell(&self, column: usize) -> Cell<'_> {
        match column {
            0 => self.stream.as_str().into(),
            1 => Cell::Integer(self.last_seq),
            _ => Cell::Null,
        }
    }
}
