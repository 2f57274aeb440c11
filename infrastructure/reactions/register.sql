-- The reactions of a release; one that becomes available begins at the head of the log.
INSERT INTO reactions AS known (tenant, name, missing, enabled_from, changed_by)
SELECT %(tenant)s, given.name, given.missing, head.position, %(actor)s
FROM unnest(%(names)s::text[], %(missing)s::text[]) AS given (name, missing),
    (SELECT coalesce(max(notification_id), 0) AS position FROM stored_events) AS head
ON CONFLICT (name, tenant) DO UPDATE
SET missing = excluded.missing,
    enabled_from = CASE
        WHEN excluded.missing IS NULL THEN excluded.enabled_from ELSE known.enabled_from END
WHERE known.missing IS DISTINCT FROM excluded.missing
RETURNING name, missing
