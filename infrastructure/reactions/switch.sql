-- Turns a reaction on, at the head of the log, or off: runs of events up to the head are then discarded.
INSERT INTO reactions AS known (tenant, name, enabled, missing, enabled_from, changed_by)
SELECT %(tenant)s, %(name)s, %(enabled)s, %(missing)s, head.position, %(actor)s
FROM (SELECT coalesce(max(notification_id), 0) AS position FROM stored_events) AS head
ON CONFLICT (name, tenant) DO UPDATE
SET enabled = excluded.enabled,
    enabled_from = CASE
        WHEN excluded.enabled THEN excluded.enabled_from ELSE known.enabled_from END,
    discarded_to = CASE
        WHEN excluded.enabled THEN known.discarded_to ELSE excluded.enabled_from END,
    outages = 0,
    paused_until = NULL,
    changed_by = excluded.changed_by,
    changed_at = clock_timestamp()
WHERE known.enabled <> excluded.enabled
