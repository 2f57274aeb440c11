-- The next matching events of one user after a position, among a limited number of versions.
WITH RECURSIVE {BEGIN}, place AS MATERIALIZED (
    SELECT max(low) AS low, max(low) + %(look)s AS last FROM begin
), stretch AS MATERIALIZED (
    -- Beyond the user's last event, all positions are known not to match.
    SELECT place.low, place.last, CASE
        WHEN place.last < (SELECT max(originator_version) FROM stored_events
                           WHERE originator_id = %(user)s)
        THEN (SELECT e.notification_id FROM stored_events e
              WHERE e.originator_id = %(user)s AND e.originator_version <= place.last
              ORDER BY e.originator_version DESC LIMIT 1)
        ELSE (SELECT max(notification_id) FROM stored_events WHERE notification_id > %(after)s)
        END AS reached
    FROM place
)
SELECT stretch.reached, found.*
FROM stretch
LEFT JOIN LATERAL (
    SELECT {COLUMNS} FROM (
        SELECT * FROM stored_events e
        WHERE e.originator_id = %(user)s AND e.originator_version > stretch.low
            AND e.originator_version <= stretch.last AND e.kind = 'user'
            AND (e.topic = ANY (%(types)s) OR e.kind = ANY (%(kinds)s))
        ORDER BY e.originator_version LIMIT %(limit)s
    ) AS e {PROBED_KEY}
) AS found ON true
ORDER BY found.originator_version
