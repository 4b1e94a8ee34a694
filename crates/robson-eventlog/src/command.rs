//! Commands: what was asked, and how it ended, so that the same request gets the same answer.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::event::Fingerprint;
use crate::names::{DedupeKey, InvalidName};
use crate::payload::Payload;
use crate::table::{Column, ColumnKind, Row, Table, Value};
use crate::time::Timestamp;

/// The table of commands.
pub static COMMANDS: Table = Table {
    name: "commands",
    key_columns: 1,
    columns: &[
        Column::required("command_id", ColumnKind::Uuid),
        Column::required("command_type", ColumnKind::Text),
        Column::required("request_hash", ColumnKind::Text),
        Column::required("status", ColumnKind::Text),
        Column::optional("result", ColumnKind::Json),
        Column::optional("error", ColumnKind::Text),
        Column::optional("trace_id", ColumnKind::Uuid),
        Column::required("issued_at", ColumnKind::Timestamp),
        Column::required("completed_at", ColumnKind::Timestamp),
    ],
};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandStatus {
    /// It did what was asked.
    Completed,
    /// It was refused.
    Failed,
}

/// What was asked, and how it ended. Written in the commit of its events; a refusal alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRecord {
    /// Its id; a retry carries the same.
    pub id: Uuid,
    /// What was asked, such as `arm`.
    pub command_type: String,
    /// The hash of the request: the same id with another hash is a mismatch.
    pub request_hash: String,
    /// How it ended.
    pub status: CommandStatus,
    /// What was answered.
    pub result: Option<Payload>,
    /// Why it was refused.
    pub error: Option<String>,
    /// The action that it belongs to.
    pub trace_id: Option<Uuid>,
    /// When it was asked.
    pub issued_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
}

impl CommandRecord {
    /// The hash of a request.
    pub fn hash_request(command_type: &str, request: &Payload) -> String {
        let mut hash = Sha256::new();
        hash.update(command_type.as_bytes());
        hash.update([0]);
        hash.update(request.as_str().as_bytes());
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What must be unique for a command.
    ///
    /// # Errors
    /// Never in practice: an id is short.
    pub fn dedupe_key(&self) -> Result<DedupeKey, InvalidName> {
        DedupeKey::new(format!("cmd/{}", self.id))
    }

    /// The request's hash in the form in which dedupe keys keep it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from_stored(self.request_hash.clone())
    }

    /// The row that keeps it.
    pub fn to_row(&self) -> Row {
        let status = match self.status {
            CommandStatus::Completed => "completed",
            CommandStatus::Failed => "failed",
        };
        Row(vec![
            Value::Uuid(self.id),
            Value::Text(self.command_type.clone()),
            Value::Text(self.request_hash.clone()),
            Value::Text(status.to_owned()),
            self.result.clone().map_or(Value::Null, Value::Json),
            self.error.clone().map_or(Value::Null, Value::Text),
            self.trace_id.map_or(Value::Null, Value::Uuid),
            Value::Timestamp(self.issued_at),
            Value::Timestamp(self.completed_at),
        ])
    }

    /// The command that a row keeps; nothing where the row does not fit.
    pub fn from_row(row: Row) -> Option<Self> {
        let [
            Value::Uuid(id),
            Value::Text(command_type),
            Value::Text(request_hash),
            Value::Text(status),
            result,
            error,
            trace_id,
            Value::Timestamp(issued_at),
            Value::Timestamp(completed_at),
        ] = <[Value; 9]>::try_from(row.0).ok()?
        else {
            return None;
        };
        let status = match status.as_str() {
            "completed" => CommandStatus::Completed,
            "failed" => CommandStatus::Failed,
            _ => return None,
        };
        let result = if let Value::Json(result) = result { Some(result) } else { None };
        let error = if let Value::Text(error) = error { Some(error) } else { None };
        let trace_id = if let Value::Uuid(trace_id) = trace_id { Some(trace_id) } else { None };
        Some(Self {
            id,
            command_type,
            request_hash,
            status,
            result,
            error,
            trace_id,
            issued_at,
            completed_at,
        })
    }
}
