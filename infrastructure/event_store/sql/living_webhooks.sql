-- The webhooks that are not deleted, by the claims of their places, and the last version of each.
SELECT held.value, held.stream_id, last.version
FROM unnest(%(places)s::bytea[]) AS place (value)
CROSS JOIN LATERAL (
    SELECT c.value, c.stream_id FROM claims c
    WHERE c.value = place.value AND c.scope = %(scope)s AND c.tenant = %(tenant)s
    LIMIT 1) AS held
CROSS JOIN LATERAL (
    SELECT e.originator_version AS version FROM stored_events e
    WHERE e.originator_id = held.stream_id
    ORDER BY e.originator_version DESC LIMIT 1) AS last
