-- The runs to give to the workers: those that are due first, up to the free places of their reaction.
-- After some outages in a row, a reaction waits, and then tries one run.
SELECT due.reaction, due.event_id, due.position
FROM reactions
CROSS JOIN LATERAL (
    SELECT count(*) AS runs FROM reaction_runs
    WHERE reaction = reactions.name AND task IS NOT NULL AND tenant = %(tenant)s
) AS given
CROSS JOIN LATERAL (
    SELECT reaction, event_id, position FROM reaction_runs
    WHERE reaction = reactions.name AND tenant = %(tenant)s
        AND state = 'queued' AND task IS NULL AND due_at <= clock_timestamp()
        AND position > reactions.discarded_to
    ORDER BY due_at, position
    LIMIT greatest(
        CASE
            WHEN reactions.outages < %(outages)s THEN %(places)s
            WHEN reactions.paused_until > clock_timestamp() THEN 0
            ELSE 1
        END - given.runs, 0)
) AS due
WHERE reactions.tenant = %(tenant)s AND reactions.name = ANY(%(names)s)
    AND reactions.enabled AND reactions.missing IS NULL
ORDER BY due.reaction, due.position
