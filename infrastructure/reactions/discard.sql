-- Ends runs of reactions that were disabled after the event, a thousand at a time. Runs that were given
-- to the workers end there.
WITH discarded AS (
    UPDATE reaction_runs AS run
    SET state = 'skipped', error = %(error)s, finished_at = clock_timestamp(),
        follow_up = run.state <> 'waiting'
    FROM (
        SELECT old.reaction, old.event_id
        FROM reactions
        CROSS JOIN LATERAL (
            SELECT reaction, event_id FROM reaction_runs
            WHERE reaction = reactions.name AND tenant = %(tenant)s AND finished_at IS NULL
                AND task IS NULL AND position <= reactions.discarded_to
            ORDER BY position LIMIT 1000
        ) AS old
        WHERE reactions.tenant = %(tenant)s
    ) AS old
    WHERE run.reaction = old.reaction AND run.event_id = old.event_id AND run.tenant = %(tenant)s
        AND run.finished_at IS NULL AND run.task IS NULL
    RETURNING run.event_id
)
SELECT count(*) FROM discarded
