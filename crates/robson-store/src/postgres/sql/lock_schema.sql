SELECT pg_advisory_xact_lock(hashtextextended('robson migrations of ' || $1, 0));
