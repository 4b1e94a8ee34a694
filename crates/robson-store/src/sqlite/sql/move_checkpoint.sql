INSERT INTO projection_checkpoints (tenant_id, projection_name, log_seq, generation)
VALUES ($1, $2, $4, $5)
ON CONFLICT (tenant_id, projection_name)
DO UPDATE SET log_seq = excluded.log_seq, generation = excluded.generation
WHERE projection_checkpoints.log_seq = $3;
