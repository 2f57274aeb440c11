-- The events that set the status of each user, from the last one before `first` that says the status
-- without the earlier ones (no deletion, restoration or erasure does) up to `last`, exclusive.
WITH place AS MATERIALIZED (
    SELECT given.stream, given.last, coalesce(alive.version, 1) AS begin
    FROM unnest(%(streams)s::uuid[], %(first)s::bigint[], %(last)s::bigint[])
        AS given(stream, first, last)
    LEFT JOIN LATERAL (
        SELECT e.originator_version AS version FROM stored_events e
        WHERE e.originator_id = given.stream AND e.originator_version < given.first
            AND e.topic = ANY (%(changes)s) AND e.topic <> ALL (%(ends)s)
        ORDER BY e.originator_version DESC LIMIT 1
    ) AS alive ON true
)
SELECT place.stream, e.originator_version, e.topic
FROM place
CROSS JOIN LATERAL (
    SELECT s.originator_version, s.topic FROM stored_events s
    WHERE s.originator_id = place.stream AND s.topic = ANY (%(changes)s)
        AND s.originator_version >= place.begin AND s.originator_version < place.last
    -- Keeps the planner from beginning with all events of the log.
    OFFSET 0
) AS e
ORDER BY place.stream, e.originator_version
