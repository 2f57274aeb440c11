-- The tokens that hold these claims, with the last version of each, at the time of the statement. The
-- scope is an argument, so that only the primary key fits: it finds one row, an index by scope many.
SELECT asked.number, held.stream_id, last.version, statement_timestamp()
FROM unnest(%(values)s::bytea[], %(scopes)s::text[]) WITH ORDINALITY AS asked (value, scope, number)
CROSS JOIN LATERAL (
    SELECT c.stream_id FROM claims c
    WHERE c.value = asked.value AND c.scope = asked.scope AND c.tenant = %(tenant)s
    LIMIT 1) AS held
CROSS JOIN LATERAL (
    SELECT e.originator_version AS version FROM stored_events e
    WHERE e.originator_id = held.stream_id
    ORDER BY e.originator_version DESC LIMIT 1) AS last
