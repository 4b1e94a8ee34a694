INSERT INTO log_head (tenant_id, log_seq, chain_hash, ingested_at, epoch, writer, lease_until)
VALUES ($1, 0, $2, $3, 0, NULL, NULL)
ON CONFLICT (tenant_id) DO NOTHING;
