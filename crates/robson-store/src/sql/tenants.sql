SELECT tenant_id
FROM log_head
ORDER BY tenant_id;
