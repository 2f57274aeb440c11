-- The next matching events after a position, among a limited number of positions. The stretch ends at
-- an event, because a position without one may lie where a restore cut the log. The limit of the
-- inner walk makes the planner follow the index of positions.
WITH stretch AS MATERIALIZED (
    SELECT max(notification_id) AS reached FROM stored_events
    WHERE notification_id < %(look)s
        + (SELECT min(notification_id) FROM stored_events WHERE notification_id > %(after)s)
)
SELECT stretch.reached, found.*
FROM stretch
LEFT JOIN LATERAL (
    SELECT {COLUMNS} FROM (
        SELECT * FROM (
            SELECT * FROM stored_events
            WHERE notification_id > %(after)s ORDER BY notification_id LIMIT %(look)s
        ) AS e
        WHERE e.notification_id <= stretch.reached
            AND (e.topic = ANY (%(types)s) OR e.kind = ANY (%(kinds)s))
        ORDER BY e.notification_id LIMIT %(limit)s
    ) AS e {PROBED_KEY}
) AS found ON true
ORDER BY found.notification_id
