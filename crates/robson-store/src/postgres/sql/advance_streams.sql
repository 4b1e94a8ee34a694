UPDATE stream_state AS s
SET last_seq = n.last_seq
FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS n (stream_key, expected_seq, last_seq)
WHERE s.tenant_id = $1
  AND s.stream_key = n.stream_key
  AND s.last_seq = n.expected_seq;
