-- The tokens after one that are not revoked, by the claims of their secrets, and the last version of
-- each. The scopes stand here as in the index `claims_tokens`, which is read in its order.
SELECT held.stream_id, last.version
FROM (
    SELECT DISTINCT c.stream_id FROM claims c
    WHERE c.scope IN ('token-0', 'token-1') AND c.tenant = %(tenant)s
      AND c.stream_id > %(after)s
    ORDER BY c.stream_id LIMIT %(limit)s) AS held
CROSS JOIN LATERAL (
    SELECT e.originator_version AS version FROM stored_events e
    WHERE e.originator_id = held.stream_id
    ORDER BY e.originator_version DESC LIMIT 1) AS last
ORDER BY held.stream_id
