//! The log's own tables, for the statement writer. The projections' tables come with their projections.

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

pub(crate) static EVENT_IDEMPOTENCY: Table = Table {
    name: "event_idempotency",
    key_columns: 1,
    columns: &[
        Column::required("dedupe_key", ColumnKind::Text),
        Column::required("idempotency_key", ColumnKind::Text),
        Column::optional("event_id", ColumnKind::Text),
        Column::optional("log_seq", ColumnKind::Integer),
    ],
};

pub(crate) static STREAM_STATE: Table = Table {
    name: "stream_state",
    key_columns: 1,
    columns: &[
        Column::required("stream_key", ColumnKind::Text),
        Column::required("last_seq", ColumnKind::Integer),
    ],
};

pub(crate) static PROJECTION_CHECKPOINTS: Table = Table {
    name: "projection_checkpoints",
    key_columns: 1,
    columns: &[
        Column::required("projection_name", ColumnKind::Text),
        Column::required("log_seq", ColumnKind::Integer),
        Column::required("generation", ColumnKind::Integer),
    ],
};
