SELECT check_partition_coverage($1)::bigint;
