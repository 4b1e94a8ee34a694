SELECT pg_notify(
    left(regexp_replace(current_schema(), '[^a-z0-9_]', '', 'g'), 30) || '/' || replace($1::uuid::text, '-', ''),
    $2::bigint::text)
