SELECT pg_advisory_xact_lock(hashtextextended('robson shadows of ' || current_schema(), 0));
