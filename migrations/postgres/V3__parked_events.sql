-- What a consumer could not deal with, until somebody decides.

CREATE TABLE parked_events (
    tenant_id       uuid             NOT NULL,
    consumer        text COLLATE "C" NOT NULL,
    log_seq         bigint           NOT NULL,
    event_id        text COLLATE "C" NOT NULL,
    event_type      text COLLATE "C" NOT NULL,
    reason          text COLLATE "C" NOT NULL,
    attempts        bigint           NOT NULL CHECK (attempts > 0),
    status          text COLLATE "C" NOT NULL CHECK (status IN ('stopped', 'parked', 'retrying', 'retried', 'skipped')),
    decision_reason text COLLATE "C",
    parked_at       timestamptz      NOT NULL,
    decided_at      timestamptz,
    PRIMARY KEY (tenant_id, consumer, log_seq)
);
