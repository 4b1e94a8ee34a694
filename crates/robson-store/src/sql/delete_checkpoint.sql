DELETE FROM projection_checkpoints
WHERE tenant_id = $1 AND projection_name = $2;
