-- The event with an id, where the time in the id and the time of the event differ by more than a day
-- because a clock was wrong. Ids rise with positions, except among events of the same moment, so a
-- binary search finds the place; the event is looked for around it.
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, (SELECT coalesce(max(notification_id), 0) + 1 FROM stored_events)
    UNION ALL
    SELECT
        CASE WHEN probe.event_id < %(id)s THEN probe.notification_id ELSE search.low END,
        CASE WHEN probe.event_id < %(id)s THEN search.high ELSE middle.position END
    FROM search
    CROSS JOIN LATERAL (SELECT (search.low + search.high) / 2 AS position) AS middle
    LEFT JOIN LATERAL (
        SELECT e.notification_id, e.event_id FROM stored_events e
        WHERE e.notification_id >= middle.position AND e.notification_id < search.high
        ORDER BY e.notification_id LIMIT 1
    ) AS probe ON true
    WHERE search.high - search.low > 1
), place AS MATERIALIZED (
    SELECT max(low) AS position FROM search
), around AS MATERIALIZED (
    (SELECT e.* FROM stored_events e WHERE e.notification_id <= (SELECT position FROM place)
     ORDER BY e.notification_id DESC LIMIT 10000)
    UNION ALL
    (SELECT e.* FROM stored_events e WHERE e.notification_id > (SELECT position FROM place)
     ORDER BY e.notification_id LIMIT 10000)
)
