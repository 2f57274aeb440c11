-- The last position recorded before a moment, 0 if there is none. Times rise with positions, so a
-- binary search over the positions needs about forty probes of their index and no time index.
-- All events up to `low` were recorded before the moment, none from `high` on.
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, (SELECT coalesce(max(notification_id), 0) + 1 FROM stored_events)
    UNION ALL
    SELECT
        CASE WHEN probe.recorded_at < %(moment)s THEN probe.notification_id ELSE search.low END,
        CASE WHEN probe.recorded_at < %(moment)s THEN search.high ELSE middle.position END
    FROM search
    CROSS JOIN LATERAL (SELECT (search.low + search.high) / 2 AS position) AS middle
    LEFT JOIN LATERAL (
        SELECT e.notification_id, e.recorded_at FROM stored_events e
        WHERE e.notification_id >= middle.position AND e.notification_id < search.high
        ORDER BY e.notification_id LIMIT 1
    ) AS probe ON true
    WHERE search.high - search.low > 1
)
SELECT max(low) FROM search
