//! Digests: SHA-256 over canonical JSON in key order, equal on every backend that holds the same content.

use std::fmt;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::event::RecordedEvent;
use crate::names::TenantId;
use crate::store::{EventQuery, RowQuery, Store, StoreError};
use crate::table::{Row, Table};

/// Columns that a restart shifts without changing what happened.
pub const VOLATILE_COLUMNS: [&str; 5] =
    ["last_event_id", "last_log_seq", "created_at", "updated_at", "ingested_at"];

const PAGE: usize = 2_000;

/// What is part of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every column.
    Everything,
    /// Every column but [`VOLATILE_COLUMNS`].
    Content,
}

/// How many rows there are, and the hash over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// How many rows.
    pub rows: u64,
    /// The hash.
    pub sha256: [u8; 32],
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Adds rows up to a digest.
#[derive(Debug, Default)]
pub struct Digester {
    hash: Sha256,
    rows: u64,
}

impl Digester {
    /// Adds one row's JSON.
    pub fn add(&mut self, row: &Value) {
        self.hash.update(canonical(row).as_bytes());
        self.hash.update(b"\n");
        self.rows += 1;
    }

    /// The digest.
    pub fn finish(self) -> Digest {
        Digest { rows: self.rows, sha256: self.hash.finalize().into() }
    }
}

fn canonical(value: &Value) -> String {
    crate::payload::Payload::new(value)
        .map_or_else(|_| value.to_string(), |payload| payload.as_str().to_owned())
}

/// A row as a digest sees it.
pub fn row_json(table: &Table, row: &Row, scope: Scope) -> Value {
    let mut json = row.to_json(table);
    if let (Scope::Content, Value::Object(fields)) = (scope, &mut json) {
        fields.retain(|name, _| !VOLATILE_COLUMNS.contains(&name.as_str()));
    }
    json
}

/// The digest of rows that are at hand, by key.
pub fn of_rows<'a>(table: &Table, rows: impl IntoIterator<Item = &'a Row>, scope: Scope) -> Digest {
    let mut digester = Digester::default();
    rows.into_iter().for_each(|row| digester.add(&row_json(table, row, scope)));
    digester.finish()
}

/// The digest of a table.
///
/// # Errors
/// As the store says.
pub async fn of_table<S: Store>(
    store: &S,
    tenant: TenantId,
    table: &'static Table,
    scope: Scope,
) -> Result<Digest, StoreError> {
    let mut digester = Digester::default();
    let mut query = RowQuery { limit: Some(PAGE), ..RowQuery::all() };
    loop {
        let rows = store.rows(tenant, table, &query).await?;
        rows.iter().for_each(|row| digester.add(&row_json(table, row, scope)));
        match rows.last() {
            Some(last) if rows.len() == PAGE => query.after = Some(last.key(table)),
            _ => return Ok(digester.finish()),
        }
    }
}

/// The digest of the log.
///
/// # Errors
/// As the store says.
pub async fn of_log<S: Store>(store: &S, tenant: TenantId) -> Result<Digest, StoreError> {
    let mut digester = Digester::default();
    let mut query = EventQuery { limit: PAGE, ..EventQuery::all(tenant) };
    loop {
        let page = store.read(&query).await?;
        page.events.iter().for_each(|event| digester.add(&event_json(event)));
        match page.events.last() {
            Some(last) if page.events.len() == PAGE => query.after = last.log_seq,
            _ => return Ok(digester.finish()),
        }
    }
}

/// An event with all its columns, as JSON.
pub fn event_json(event: &RecordedEvent) -> Value {
    json!({
        "log_seq": event.log_seq,
        "event_id": event.event_id.to_string(),
        "tenant_id": event.tenant.to_string(),
        "stream_key": event.stream.as_str(),
        "seq": event.seq,
        "event_type": event.event_type.as_str(),
        "payload_schema_version": event.schema_version,
        "payload": event.payload.value(),
        "occurred_at": event.occurred_at.to_string(),
        "ingested_at": event.ingested_at.to_string(),
        "idempotency_key": event.idempotency_key.as_str(),
        "trace_id": event.trace.trace_id.map(|id| id.to_string()),
        "causation_id": event.trace.causation_id.map(|id| id.to_string()),
        "command_id": event.trace.command_id.map(|id| id.to_string()),
        "workflow_id": event.trace.workflow_id.map(|id| id.to_string()),
        "actor_type": event.actor.actor_type.as_str(),
        "actor_id": event.actor.id,
        "prev_hash": event.prev_hash.to_string(),
        "hash": event.hash.to_string(),
    })
}
