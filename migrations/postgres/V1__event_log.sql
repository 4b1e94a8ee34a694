-- The log and what guards it. The log and the snapshots are partitioned by month, bounds in UTC.
-- Uniqueness lives in the unpartitioned tables, because a unique key of a partitioned table must hold
-- the partition key.

CREATE TABLE log_head (
    tenant_id   uuid        NOT NULL PRIMARY KEY,
    log_seq     bigint      NOT NULL CHECK (log_seq >= 0),
    chain_hash  bytea       NOT NULL CHECK (length(chain_hash) = 32),
    ingested_at timestamptz NOT NULL,
    epoch       bigint      NOT NULL CHECK (epoch >= 0),
    writer      text COLLATE "C",
    lease_until timestamptz
) WITH (fillfactor = 50);

CREATE TABLE event_log (
    tenant_id              uuid        NOT NULL,
    log_seq                bigint      NOT NULL CHECK (log_seq > 0),
    event_id               text COLLATE "C" NOT NULL,
    stream_key             text COLLATE "C" NOT NULL,
    seq                    bigint      NOT NULL CHECK (seq > 0),
    event_type             text COLLATE "C" NOT NULL,
    payload_schema_version bigint      NOT NULL,
    payload                jsonb       NOT NULL,
    occurred_at            timestamptz NOT NULL,
    ingested_at            timestamptz NOT NULL,
    idempotency_key        text COLLATE "C" NOT NULL,
    trace_id               uuid,
    causation_id           text COLLATE "C",
    command_id             uuid,
    workflow_id            uuid,
    actor_type             text COLLATE "C" NOT NULL,
    actor_id               text COLLATE "C",
    prev_hash              bytea       NOT NULL CHECK (length(prev_hash) = 32),
    hash                   bytea       NOT NULL CHECK (length(hash) = 32)
) PARTITION BY RANGE (ingested_at);

CREATE INDEX event_log_by_place ON event_log (tenant_id, log_seq);
CREATE INDEX event_log_by_stream ON event_log (tenant_id, stream_key, log_seq);
CREATE INDEX event_log_by_trace ON event_log (tenant_id, trace_id, log_seq) WHERE trace_id IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP;
END
$$;

CREATE TRIGGER event_log_refuses_change BEFORE UPDATE OR DELETE ON event_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER event_log_refuses_truncate BEFORE TRUNCATE ON event_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE event_idempotency (
    tenant_id       uuid NOT NULL,
    dedupe_key      text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    event_id        text COLLATE "C",
    log_seq         bigint,
    PRIMARY KEY (tenant_id, dedupe_key)
);

CREATE TABLE stream_state (
    tenant_id  uuid   NOT NULL,
    stream_key text COLLATE "C" NOT NULL,
    last_seq   bigint NOT NULL CHECK (last_seq > 0),
    PRIMARY KEY (tenant_id, stream_key)
) WITH (fillfactor = 70);

CREATE TABLE commands (
    tenant_id    uuid        NOT NULL,
    command_id   uuid        NOT NULL,
    command_type text COLLATE "C" NOT NULL,
    request_hash text COLLATE "C" NOT NULL,
    status       text COLLATE "C" NOT NULL CHECK (status IN ('completed', 'failed')),
    result       jsonb,
    error        text COLLATE "C",
    trace_id     uuid,
    issued_at    timestamptz NOT NULL,
    completed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, command_id)
);

CREATE TABLE snapshots (
    tenant_id        uuid        NOT NULL,
    snapshot_scope   text COLLATE "C" NOT NULL,
    scope_id         text COLLATE "C" NOT NULL,
    as_of_log_seq    bigint      NOT NULL,
    created_at       timestamptz NOT NULL,
    snapshot_type    text COLLATE "C" NOT NULL,
    as_of_event_id   text COLLATE "C",
    as_of_seq        bigint      NOT NULL,
    as_of_time       timestamptz NOT NULL,
    schema_version   bigint      NOT NULL,
    snapshot_payload bytea       NOT NULL,
    is_compressed    boolean     NOT NULL,
    compression_algo text COLLATE "C",
    PRIMARY KEY (tenant_id, snapshot_scope, scope_id, as_of_log_seq, created_at)
) PARTITION BY RANGE (created_at);

CREATE TABLE projection_checkpoints (
    tenant_id       uuid   NOT NULL,
    projection_name text COLLATE "C" NOT NULL,
    log_seq         bigint NOT NULL,
    generation      bigint NOT NULL,
    PRIMARY KEY (tenant_id, projection_name)
);

-- The attached partitions of a table in the current schema, with their bounds. Read from the catalog,
-- never from names; a default partition and open bounds are left out.
CREATE FUNCTION attached_months(parent text)
RETURNS TABLE (child regclass, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
    SELECT c.oid::regclass, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz
    FROM pg_inherits AS i
    JOIN pg_class AS p ON p.oid = i.inhparent
    JOIN pg_class AS c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL regexp_match(
        pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') AS b (bounds)
    WHERE p.relname = parent
      AND p.relnamespace = current_schema()::regnamespace
      AND p.relkind = 'p'
      AND NOT i.inhdetachpending
      AND b.bounds IS NOT NULL
$$;

-- Makes the month of `at` and `months` more, bounds in UTC whatever the session's time zone; answers
-- how many were missing. Two sessions may call it at once. A month is made beside the table and then
-- attached, because attaching waits for no reader.
CREATE FUNCTION create_month_partitions(parent text, months integer, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    month_start timestamptz := date_trunc('month', at, 'UTC');
    month_end   timestamptz;
    child       text;
    made        integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('partitions of ' || current_schema() || '.' || parent, 0));
    FOR step IN 0..months LOOP
        month_end := month_start + interval '1 month';
        IF NOT EXISTS (
            SELECT 1 FROM attached_months(parent) AS m
            WHERE m.lower_bound <= month_start AND m.upper_bound >= month_end)
        THEN
            child := parent || '_' || to_char(month_start, 'YYYY_MM');
            EXECUTE format(
                'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)',
                child, parent);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, child, month_start, month_end);
            IF parent = 'event_log' THEN
                -- Row triggers are cloned to a new partition, statement triggers are not.
                EXECUTE format(
                    'CREATE TRIGGER event_log_refuses_truncate BEFORE TRUNCATE ON %I
                     FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', child);
            END IF;
            made := made + 1;
        END IF;
        month_start := month_end;
    END LOOP;
    RETURN made;
END
$$;

CREATE FUNCTION create_event_log_partitions(months integer, at timestamptz DEFAULT now()) RETURNS integer
LANGUAGE sql AS $$ SELECT create_month_partitions('event_log', months, at) $$;

CREATE FUNCTION create_snapshot_partitions(months integer, at timestamptz DEFAULT now()) RETURNS integer
LANGUAGE sql AS $$ SELECT create_month_partitions('snapshots', months, at) $$;

-- How many months, from the month of `at` on and without a gap, both tables have an attached partition
-- that covers the month whole.
CREATE FUNCTION check_partition_coverage(at timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql STABLE SET timezone = 'UTC' AS $$
DECLARE
    month_start timestamptz := date_trunc('month', at, 'UTC');
    month_end   timestamptz;
    covered     integer := 0;
BEGIN
    LOOP
        month_end := month_start + interval '1 month';
        EXIT WHEN (
            SELECT count(*) < 2
            FROM (VALUES ('event_log'), ('snapshots')) AS t (parent)
            WHERE EXISTS (
                SELECT 1 FROM attached_months(t.parent) AS m
                WHERE m.lower_bound <= month_start AND m.upper_bound >= month_end));
        covered := covered + 1;
        month_start := month_end;
    END LOOP;
    RETURN covered;
END
$$;

-- The next version of a stream, its row locked until the transaction ends; changes nothing. For tools:
-- the writer compares and sets.
CREATE FUNCTION next_seq(stream text, tenant uuid) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    version bigint;
BEGIN
    SELECT s.last_seq INTO version FROM stream_state AS s
    WHERE s.tenant_id = tenant AND s.stream_key = stream FOR UPDATE;
    RETURN coalesce(version, 0) + 1;
END
$$;
