//! The log's own small tables, so that they are read as any other: dedupe keys, stream versions, checkpoints.
//!
//! A commit writes them by its own rules; nobody else does. The log itself is read as events.

use crate::batch::{DedupeEntry, StreamMove};
use crate::event::Fingerprint;
use crate::store::{Checkpoint, DedupeHit, StreamVersion};
use crate::table::{Column, ColumnKind, Row, Table, Value};

/// Which dedupe keys are taken, and by what.
pub static EVENT_IDEMPOTENCY: Table = Table {
    name: "event_idempotency",
    key_columns: 1,
    columns: &[
        Column::required("dedupe_key", ColumnKind::Text),
        Column::required("idempotency_key", ColumnKind::Text),
        Column::optional("event_id", ColumnKind::Text),
        Column::optional("log_seq", ColumnKind::Integer),
    ],
};

/// How far each stream has come.
pub static STREAM_STATE: Table = Table {
    name: "stream_state",
    key_columns: 1,
    columns: &[
        Column::required("stream_key", ColumnKind::Text),
        Column::required("last_seq", ColumnKind::Integer),
    ],
};

/// Where each consumer stands.
pub static PROJECTION_CHECKPOINTS: Table = Table {
    name: "projection_checkpoints",
    key_columns: 1,
    columns: &[
        Column::required("projection_name", ColumnKind::Text),
        Column::required("log_seq", ColumnKind::Integer),
        Column::required("generation", ColumnKind::Integer),
    ],
};

impl DedupeEntry {
    /// The row that keeps it.
    pub fn to_row(&self) -> Row {
        let (id, log_seq) = match self.event {
            Some((id, log_seq)) => (Value::Text(id.to_string()), Value::Integer(log_seq)),
            None => (Value::Null, Value::Null),
        };
        let key = Value::Text(self.key.as_str().to_owned());
        Row(vec![key, Value::Text(self.fingerprint.as_str().to_owned()), id, log_seq])
    }
}

impl DedupeHit {
    /// The taken key that a row keeps; nothing where the row does not fit.
    pub fn from_row(row: Row) -> Option<Self> {
        let [Value::Text(key), Value::Text(fingerprint), id, log_seq] = <[Value; 4]>::try_from(row.0).ok()?
        else {
            return None;
        };
        let event = match (id, log_seq) {
            (Value::Text(id), Value::Integer(log_seq)) => Some((id.parse().ok()?, log_seq)),
            (Value::Null, Value::Null) => None,
            _ => return None,
        };
        Some(Self { key: key.parse().ok()?, fingerprint: Fingerprint::from_stored(fingerprint), event })
    }
}

impl StreamMove {
    /// The row that the stream has after it.
    pub fn to_row(&self) -> Row {
        Row(vec![Value::Text(self.stream.as_str().to_owned()), Value::Integer(self.last_seq)])
    }
}

impl StreamVersion {
    /// The version that a row keeps; nothing where the row does not fit.
    pub fn from_row(row: Row) -> Option<Self> {
        match <[Value; 2]>::try_from(row.0).ok()? {
            [Value::Text(stream), Value::Integer(last_seq)] => {
                Some(Self { stream: stream.parse().ok()?, last_seq })
            }
            _ => None,
        }
    }
}

impl Checkpoint {
    /// The row that keeps it under a consumer's name.
    pub fn to_row(self, name: &str) -> Row {
        Row(vec![Value::Text(name.to_owned()), Value::Integer(self.log_seq), Value::Integer(self.generation)])
    }

    /// The checkpoint that a row keeps, and whose it is; nothing where the row does not fit.
    pub fn from_row(row: Row) -> Option<(String, Self)> {
        match <[Value; 3]>::try_from(row.0).ok()? {
            [Value::Text(name), Value::Integer(log_seq), Value::Integer(generation)] => {
                Some((name, Self { log_seq, generation }))
            }
            _ => None,
        }
    }
}
