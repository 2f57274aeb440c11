-- For each version of a stream: the types of the last earlier event that set the user's status while
-- the user was not deleted, and of the last one that set it since then, if there is one.
SELECT alive.topic, last.topic
FROM unnest(%(streams)s::uuid[], %(versions)s::bigint[])
    WITH ORDINALITY AS place(stream, version, n)
LEFT JOIN LATERAL (
    SELECT e.topic, e.originator_version FROM stored_events e
    WHERE e.originator_id = place.stream AND e.originator_version < place.version
      AND e.topic = ANY (%(changes)s) AND e.topic <> ALL (%(ends)s)
    ORDER BY e.originator_version DESC LIMIT 1) AS alive ON true
LEFT JOIN LATERAL (
    SELECT e.topic FROM stored_events e
    WHERE e.originator_id = place.stream AND e.originator_version < place.version
      AND e.originator_version > alive.originator_version AND e.topic = ANY (%(changes)s)
    ORDER BY e.originator_version DESC LIMIT 1) AS last ON true
ORDER BY place.n
