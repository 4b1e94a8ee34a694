SELECT name, setting || coalesce(unit, '')
FROM pg_settings
WHERE name = ANY ($1)
ORDER BY name;
