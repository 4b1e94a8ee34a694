-- What a consumer could not deal with, until somebody decides.

CREATE TABLE parked_events (
    tenant_id       TEXT    NOT NULL,
    consumer        TEXT    NOT NULL,
    log_seq         INTEGER NOT NULL,
    event_id        TEXT    NOT NULL,
    event_type      TEXT    NOT NULL,
    reason          TEXT    NOT NULL,
    attempts        INTEGER NOT NULL CHECK (attempts > 0),
    status          TEXT    NOT NULL CHECK (status IN ('stopped', 'parked', 'retrying', 'retried', 'skipped')),
    decision_reason TEXT,
    parked_at       TEXT    NOT NULL,
    decided_at      TEXT,
    PRIMARY KEY (tenant_id, consumer, log_seq)
) STRICT, WITHOUT ROWID;
