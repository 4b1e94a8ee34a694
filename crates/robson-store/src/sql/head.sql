SELECT epoch, log_seq, chain_hash, ingested_at
FROM log_head
WHERE tenant_id = $1;
