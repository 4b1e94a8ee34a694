SELECT to_regclass(format('%I.%I', current_schema(), $1::text)) IS NOT NULL;
