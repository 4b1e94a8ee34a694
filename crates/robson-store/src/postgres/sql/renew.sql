UPDATE log_head
SET lease_until = clock_timestamp() + $3 * interval '1 millisecond'
WHERE tenant_id = $1 AND epoch = $2;
