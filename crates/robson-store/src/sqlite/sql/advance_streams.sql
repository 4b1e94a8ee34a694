UPDATE stream_state
SET last_seq = n.value ->> 2
FROM json_each($2) AS n
WHERE stream_state.tenant_id = $1
  AND stream_state.stream_key = n.value ->> 0
  AND stream_state.last_seq = n.value ->> 1;
