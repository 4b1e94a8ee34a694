UPDATE log_head
SET log_seq = $4, chain_hash = $5, ingested_at = $6
WHERE tenant_id = $1 AND epoch = $2 AND log_seq = $3;
