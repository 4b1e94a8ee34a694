-- The log and what guards it. Instants are fixed-width UTC text, ids and decimals are text.

CREATE TABLE log_head (
    tenant_id   TEXT    NOT NULL PRIMARY KEY,
    log_seq     INTEGER NOT NULL CHECK (log_seq >= 0),
    chain_hash  BLOB    NOT NULL CHECK (length(chain_hash) = 32),
    ingested_at TEXT    NOT NULL,
    epoch       INTEGER NOT NULL CHECK (epoch >= 0),
    writer      TEXT,
    lease_until TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE event_log (
    tenant_id              TEXT    NOT NULL,
    log_seq                INTEGER NOT NULL CHECK (log_seq > 0),
    event_id               TEXT    NOT NULL,
    stream_key             TEXT    NOT NULL,
    seq                    INTEGER NOT NULL CHECK (seq > 0),
    event_type             TEXT    NOT NULL,
    payload_schema_version INTEGER NOT NULL,
    payload                TEXT    NOT NULL,
    occurred_at            TEXT    NOT NULL,
    ingested_at            TEXT    NOT NULL,
    idempotency_key        TEXT    NOT NULL,
    trace_id               TEXT,
    causation_id           TEXT,
    command_id             TEXT,
    workflow_id            TEXT,
    actor_type             TEXT    NOT NULL,
    actor_id               TEXT,
    prev_hash              BLOB    NOT NULL CHECK (length(prev_hash) = 32),
    hash                   BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE UNIQUE INDEX event_log_by_place ON event_log (tenant_id, log_seq);
CREATE INDEX event_log_by_stream ON event_log (tenant_id, stream_key, log_seq);
CREATE INDEX event_log_by_trace ON event_log (tenant_id, trace_id, log_seq) WHERE trace_id IS NOT NULL;

CREATE TRIGGER event_log_refuses_update BEFORE UPDATE ON event_log
BEGIN
    SELECT RAISE(ABORT, 'event_log is append-only: UPDATE is refused');
END;

CREATE TRIGGER event_log_refuses_delete BEFORE DELETE ON event_log
BEGIN
    SELECT RAISE(ABORT, 'event_log is append-only: DELETE is refused');
END;

CREATE TABLE event_idempotency (
    tenant_id       TEXT NOT NULL,
    dedupe_key      TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    event_id        TEXT,
    log_seq         INTEGER,
    PRIMARY KEY (tenant_id, dedupe_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE stream_state (
    tenant_id  TEXT    NOT NULL,
    stream_key TEXT    NOT NULL,
    last_seq   INTEGER NOT NULL CHECK (last_seq > 0),
    PRIMARY KEY (tenant_id, stream_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE commands (
    tenant_id    TEXT NOT NULL,
    command_id   TEXT NOT NULL,
    command_type TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('completed', 'failed')),
    result       TEXT,
    error        TEXT,
    trace_id     TEXT,
    issued_at    TEXT NOT NULL,
    completed_at TEXT NOT NULL,
    PRIMARY KEY (tenant_id, command_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
    tenant_id        TEXT    NOT NULL,
    snapshot_scope   TEXT    NOT NULL,
    scope_id         TEXT    NOT NULL,
    as_of_log_seq    INTEGER NOT NULL,
    created_at       TEXT    NOT NULL,
    snapshot_type    TEXT    NOT NULL,
    as_of_event_id   TEXT,
    as_of_seq        INTEGER NOT NULL,
    as_of_time       TEXT    NOT NULL,
    schema_version   INTEGER NOT NULL,
    snapshot_payload BLOB    NOT NULL,
    is_compressed    INTEGER NOT NULL CHECK (is_compressed IN (0, 1)),
    compression_algo TEXT,
    PRIMARY KEY (tenant_id, snapshot_scope, scope_id, as_of_log_seq, created_at)
) STRICT;

CREATE TABLE projection_checkpoints (
    tenant_id       TEXT    NOT NULL,
    projection_name TEXT    NOT NULL,
    log_seq         INTEGER NOT NULL,
    generation      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, projection_name)
) STRICT, WITHOUT ROWID;
