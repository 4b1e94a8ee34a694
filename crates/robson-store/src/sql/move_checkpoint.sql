INSERT INTO projection_checkpoints (tenant_id, projection_name, log_seq, generation)
SELECT $1, $2, $4, $5
WHERE $3 = 0
   OR EXISTS (SELECT 1 FROM projection_checkpoints WHERE tenant_id = $1 AND projection_name = $2)
ON CONFLICT (tenant_id, projection_name)
DO UPDATE SET log_seq = excluded.log_seq, generation = excluded.generation
WHERE projection_checkpoints.log_seq = $3;
