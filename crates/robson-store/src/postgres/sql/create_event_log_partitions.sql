SELECT create_event_log_partitions($1::integer, $2)::bigint;
