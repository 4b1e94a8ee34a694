SELECT left(regexp_replace(current_schema(), '[^a-z0-9_]', '', 'g'), 30)
