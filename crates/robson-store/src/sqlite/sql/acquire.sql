UPDATE log_head
SET epoch = epoch + 1, writer = $2, lease_until = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', $3)
WHERE tenant_id = $1
RETURNING epoch, log_seq, chain_hash, ingested_at;
