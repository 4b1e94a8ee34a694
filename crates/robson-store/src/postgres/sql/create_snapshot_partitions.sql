SELECT create_snapshot_partitions($1, $2);
