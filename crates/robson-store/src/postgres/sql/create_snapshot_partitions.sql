SELECT create_snapshot_partitions($1::integer, $2)::bigint;
