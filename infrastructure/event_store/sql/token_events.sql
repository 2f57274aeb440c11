-- The events of tokens, each up to a version. They have no key: nothing in them is personal.
SELECT {EVENT}, NULL::text, NULL::bytea
FROM unnest(%(tokens)s::uuid[], %(versions)s::bigint[]) AS token (id, version)
CROSS JOIN LATERAL (
    SELECT * FROM stored_events s
    WHERE s.originator_id = token.id AND s.originator_version <= token.version
      AND s.kind = 'token'
    OFFSET 0) AS e
ORDER BY e.originator_id, e.originator_version
