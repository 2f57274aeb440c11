-- Each reaction; unfinished and parked runs are counted only up to a limit.
SELECT
    reactions.name, reactions.enabled, reactions.missing, reactions.enabled_from,
    CASE WHEN reactions.outages >= %(outages)s THEN reactions.paused_until END,
    reactions.changed_by, reactions.changed_at,
    (
        SELECT count(*) FROM (
            SELECT FROM reaction_runs AS run
            WHERE run.reaction = reactions.name AND run.tenant = %(tenant)s
                AND run.finished_at IS NULL AND run.state <> 'parked'
                AND run.position > reactions.discarded_to
            LIMIT %(max_counted)s) AS counted
    ),
    (
        SELECT count(*) FROM (
            SELECT FROM reaction_runs AS run
            WHERE run.reaction = reactions.name AND run.tenant = %(tenant)s
                AND run.state = 'parked' AND run.position > reactions.discarded_to
            LIMIT %(max_counted)s) AS counted
    ),
    coalesce(checkpoint.position, head.position), head.position
FROM (SELECT coalesce(max(notification_id), 0) AS position FROM stored_events) AS head
CROSS JOIN (
    SELECT max(position) AS position FROM checkpoints
    WHERE tenant = %(tenant)s AND projection = 'reactions' AND generation = 1 AND partition = 0
) AS checkpoint
LEFT JOIN reactions ON reactions.tenant = %(tenant)s
ORDER BY reactions.name
