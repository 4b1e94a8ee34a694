UPDATE log_head
SET epoch = epoch + 1, writer = $2, lease_until = clock_timestamp() + $3 * interval '1 millisecond'
WHERE tenant_id = $1
  AND (writer IS NULL OR writer = $2 OR lease_until IS NULL OR lease_until <= clock_timestamp())
RETURNING epoch, log_seq, chain_hash, ingested_at;
