//! The table of the log, for the statement writer, and what the fixed statements answer. Other tables come
//! with what they keep.

use robson_eventlog::{Column, ColumnKind, Table};

pub(crate) static EVENT_LOG: Table = Table {
    name: "event_log",
    key_columns: 1,
    columns: &[
        Column::required("log_seq", ColumnKind::Integer),
        Column::required("event_id", ColumnKind::Text),
        Column::required("stream_key", ColumnKind::Text),
        Column::required("seq", ColumnKind::Integer),
        Column::required("event_type", ColumnKind::Text),
        Column::required("payload_schema_version", ColumnKind::Integer),
        Column::required("payload", ColumnKind::Json),
        Column::required("occurred_at", ColumnKind::Timestamp),
        Column::required("ingested_at", ColumnKind::Timestamp),
        Column::required("idempotency_key", ColumnKind::Text),
        Column::optional("trace_id", ColumnKind::Uuid),
        Column::optional("causation_id", ColumnKind::Text),
        Column::optional("command_id", ColumnKind::Uuid),
        Column::optional("workflow_id", ColumnKind::Uuid),
        Column::required("actor_type", ColumnKind::Text),
        Column::optional("actor_id", ColumnKind::Text),
        Column::required("prev_hash", ColumnKind::Bytes),
        Column::required("hash", ColumnKind::Bytes),
    ],
};

/// What is read of `log_head`.
pub(crate) const HEAD: [Column; 4] = [
    Column::required("epoch", ColumnKind::Integer),
    Column::required("log_seq", ColumnKind::Integer),
    Column::required("chain_hash", ColumnKind::Bytes),
    Column::required("ingested_at", ColumnKind::Timestamp),
];

/// What stands before an event's own columns where events are read.
pub(crate) const PAGE: [Column; 2] =
    [Column::required("head", ColumnKind::Integer), Column::optional("version", ColumnKind::Integer)];

pub(crate) const COUNT: [Column; 1] = [Column::required("count", ColumnKind::Integer)];

pub(crate) const TENANTS: [Column; 1] = [Column::required("tenant_id", ColumnKind::Uuid)];

pub(crate) const HOLDER: [Column; 2] =
    [Column::required("writer", ColumnKind::Text), Column::optional("lease_until", ColumnKind::Timestamp)];
