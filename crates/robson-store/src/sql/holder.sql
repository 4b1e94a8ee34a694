SELECT coalesce(writer, ''), lease_until
FROM log_head
WHERE tenant_id = $1;
