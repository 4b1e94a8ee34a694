//! Snapshots: what a fold had made of the log at one place, kept so that replay can begin there.
//!
//! A snapshot is a shortcut and never the truth: it is no event, no digest covers it, and one that cannot be
//! trusted is left aside for an older one or for the log.

mod content;
mod restore;
mod schedule;
mod scope;
mod take;
mod watch;

pub use content::{BadSnapshot, Content};
pub use restore::{Restored, restore};
pub use schedule::{Reason, Schedule, Triggers};
pub use scope::{Part, Scope, Scopes};
pub use take::{Taken, take};
pub use watch::Watch;

use crate::event::EventId;
use crate::table::{Column, ColumnKind, Row, Table, Value};
use crate::time::Timestamp;

/// The table of snapshots.
pub static SNAPSHOTS: Table = Table {
    name: "snapshots",
    key_columns: 4,
    columns: &[
        Column::required("snapshot_scope", ColumnKind::Text),
        Column::required("scope_id", ColumnKind::Text),
        Column::required("as_of_log_seq", ColumnKind::Integer),
        Column::required("created_at", ColumnKind::Timestamp),
        Column::required("snapshot_type", ColumnKind::Text),
        Column::optional("as_of_event_id", ColumnKind::Text),
        Column::required("as_of_seq", ColumnKind::Integer),
        Column::required("as_of_time", ColumnKind::Timestamp),
        Column::required("schema_version", ColumnKind::Integer),
        Column::required("snapshot_payload", ColumnKind::Bytes),
        Column::required("is_compressed", ColumnKind::Boolean),
        Column::optional("compression_algo", ColumnKind::Text),
    ],
};

/// What a fold had made of the log at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What it covers: `account`, `strategy`, `position` or `stream`.
    pub scope: String,
    /// Which one.
    pub scope_id: String,
    /// The last event that it contains.
    pub as_of_log_seq: i64,
    /// When it was taken.
    pub created_at: Timestamp,
    /// Why it was taken.
    pub snapshot_type: String,
    /// The id of the last event that it contains.
    pub as_of_event_id: Option<EventId>,
    /// The version of the stream, for scope `stream`; else 0.
    pub as_of_seq: i64,
    /// The `ingested_at` of the last event that it contains.
    pub as_of_time: Timestamp,
    /// The version of the fold that made it; another version is ignored.
    pub schema_version: i64,
    /// The content.
    pub payload: Vec<u8>,
    /// How the content is compressed, where it is.
    pub compression: Option<String>,
}

impl Snapshot {
    /// The row that keeps it.
    pub fn to_row(&self) -> Row {
        Row(vec![
            Value::Text(self.scope.clone()),
            Value::Text(self.scope_id.clone()),
            Value::Integer(self.as_of_log_seq),
            Value::Timestamp(self.created_at),
            Value::Text(self.snapshot_type.clone()),
            self.as_of_event_id.map_or(Value::Null, |id| Value::Text(id.to_string())),
            Value::Integer(self.as_of_seq),
            Value::Timestamp(self.as_of_time),
            Value::Integer(self.schema_version),
            Value::Bytes(self.payload.clone()),
            Value::Boolean(self.compression.is_some()),
            self.compression.clone().map_or(Value::Null, Value::Text),
        ])
    }

    /// The snapshot that a row keeps; nothing where the row does not fit.
    pub fn from_row(row: Row) -> Option<Self> {
        let [
            Value::Text(scope),
            Value::Text(scope_id),
            Value::Integer(as_of_log_seq),
            Value::Timestamp(created_at),
            Value::Text(snapshot_type),
            event_id,
            Value::Integer(as_of_seq),
            Value::Timestamp(as_of_time),
            Value::Integer(schema_version),
            Value::Bytes(payload),
            Value::Boolean(_),
            compression,
        ] = <[Value; 12]>::try_from(row.0).ok()?
        else {
            return None;
        };
        let as_of_event_id = match event_id {
            Value::Text(text) => Some(text.parse().ok()?),
            _ => None,
        };
        let compression = match compression {
            Value::Text(text) => Some(text),
            _ => None,
        };
        Some(Self {
            scope,
            scope_id,
            as_of_log_seq,
            created_at,
            snapshot_type,
            as_of_event_id,
            as_of_seq,
            as_of_time,
            schema_version,
            payload,
            compression,
        })
    }
}
