SELECT pg_advisory_xact_lock_shared(hashtextextended('robson shadows of ' || current_schema(), 0));
