-- The parked users of a reaction after a position, each with the number of runs that wait behind it.
SELECT run.stream, run.position, run.event_id, event.topic, run.error, run.tries, run.parked_at,
    (
        SELECT count(*) FROM (
            SELECT FROM reaction_runs AS waiting
            WHERE waiting.reaction = run.reaction AND waiting.stream = run.stream
                AND waiting.finished_at IS NULL AND waiting.state = 'waiting'
                AND waiting.tenant = run.tenant
            LIMIT %(max_counted)s) AS counted
    )
FROM reaction_runs AS run
JOIN reactions ON reactions.name = run.reaction AND reactions.tenant = run.tenant
LEFT JOIN stored_events AS event ON event.notification_id = run.position
WHERE run.reaction = %(name)s AND run.tenant = %(tenant)s AND run.state = 'parked'
    AND run.position > %(after)s AND run.position > reactions.discarded_to
ORDER BY run.position
LIMIT %(limit)s
