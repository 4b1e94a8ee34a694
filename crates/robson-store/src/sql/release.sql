UPDATE log_head
SET writer = NULL, lease_until = NULL
WHERE tenant_id = $1 AND epoch = $2;
