-- How far the relay is; the events that were set aside are counted only up to a limit.
SELECT
    checkpoint.position,
    head.position,
    (
        SELECT greatest(extract(epoch FROM clock_timestamp() - next.recorded_at), 0)::float8
        FROM (
            SELECT recorded_at FROM stored_events
            WHERE notification_id > checkpoint.position ORDER BY notification_id LIMIT 1
        ) AS next
    ),
    (
        SELECT count(*)
        FROM (SELECT FROM relay_rejected WHERE tenant = %(tenant)s LIMIT %(max_counted)s) AS counted
    ),
    (
        SELECT rejected_at FROM relay_rejected
        WHERE tenant = %(tenant)s ORDER BY position DESC LIMIT 1
    ),
    EXISTS (
        SELECT FROM pg_locks AS held
        WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
            AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (held.classid::bigint << 32 | held.objid::bigint) = %(lock)s
    )
FROM (
    SELECT coalesce(max(position), 0) AS position FROM checkpoints
    WHERE tenant = %(tenant)s AND projection = 'relay' AND generation = 1 AND partition = 0
) AS checkpoint
CROSS JOIN (SELECT coalesce(max(notification_id), 0) AS position FROM stored_events) AS head
