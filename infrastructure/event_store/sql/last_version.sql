-- The last version of a user up to a position. Positions rise with versions, so this is a binary search
-- over the versions: all versions up to `low` are, none from `high` on.
{NAME} (low, high) AS (
    SELECT 0::bigint, (
        SELECT coalesce(max(originator_version), 0) + 1 FROM stored_events
        WHERE originator_id = %(user)s)
    UNION ALL
    SELECT
        CASE WHEN probe.notification_id <= {POSITION}
            THEN probe.originator_version ELSE {NAME}.low END,
        CASE WHEN probe.notification_id <= {POSITION} THEN {NAME}.high ELSE middle.version END
    FROM {NAME}
    CROSS JOIN LATERAL (SELECT ({NAME}.low + {NAME}.high) / 2 AS version) AS middle
    LEFT JOIN LATERAL (
        SELECT e.originator_version, e.notification_id FROM stored_events e
        WHERE e.originator_id = %(user)s
            AND e.originator_version >= middle.version AND e.originator_version < {NAME}.high
        ORDER BY e.originator_version LIMIT 1
    ) AS probe ON true
    WHERE {NAME}.high - {NAME}.low > 1
)
