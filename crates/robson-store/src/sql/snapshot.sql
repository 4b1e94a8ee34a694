SELECT snapshot_scope, scope_id, as_of_log_seq, created_at, snapshot_type, as_of_event_id, as_of_seq,
       as_of_time, schema_version, snapshot_payload, is_compressed, compression_algo
FROM snapshots
WHERE tenant_id = $1 AND snapshot_scope = $2 AND scope_id = $3 AND as_of_log_seq <= $4
ORDER BY as_of_log_seq DESC, created_at DESC
LIMIT 1;
