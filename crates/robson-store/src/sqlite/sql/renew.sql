UPDATE log_head
SET lease_until = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', $3)
WHERE tenant_id = $1 AND epoch = $2;
