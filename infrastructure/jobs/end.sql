-- Ends a run, or gives up on it (`lost`), unless its job has another run or none by now, so that a
-- repeat changes nothing. A job that is queued again then gets its next queue entry.
UPDATE jobs
SET state = next.state,
    result = %(result)s,
    error = CASE
        WHEN NOT %(lost)s THEN %(error)s::text
        WHEN next.state = 'failed' THEN %(given_up)s::text
        ELSE jobs.error
    END,
    failures = failures + %(failed)s::int,
    losses = losses + next.lost::int,
    done = CASE WHEN %(lost)s THEN done ELSE %(done)s END,
    total = CASE WHEN %(lost)s THEN total ELSE %(total)s END,
    rate = CASE WHEN %(lost)s THEN rate ELSE %(rate)s END,
    task = NULL,
    finished_at = CASE WHEN next.state <> 'queued' THEN now() END
FROM (
    SELECT id, tenant,
        %(lost)s AND state = 'running' AS lost,
        CASE
            WHEN %(state)s::text <> 'queued' THEN %(state)s::text
            WHEN cancel_requested THEN 'cancelled'
            WHEN %(lost)s AND state = 'running' AND losses + 1 >= %(max_losses)s THEN 'failed'
            ELSE 'queued'
        END AS state
    FROM jobs
    WHERE id = %(job)s AND tenant = %(tenant)s AND task = %(entry)s AND attempts = %(attempt)s
      AND state IN ('queued', 'running')
    FOR UPDATE
) AS next
WHERE jobs.id = next.id AND jobs.tenant = next.tenant
RETURNING jobs.kind, jobs.state, next.lost
