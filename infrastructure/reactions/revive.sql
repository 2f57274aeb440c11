-- Takes a lost run back, unless another worker did. One that ended its worker too often is parked.
UPDATE reaction_runs
SET state = next.state,
    losses = losses + next.lost::int,
    task = NULL,
    error = CASE WHEN next.state = 'parked' THEN %(given_up)s ELSE error END,
    parked_at = CASE WHEN next.state = 'parked' THEN clock_timestamp() END,
    due_at = clock_timestamp()
FROM (
    SELECT reaction, event_id, tenant, state = 'running' AS lost,
        CASE WHEN state = 'running' AND losses + 1 >= %(max_losses)s THEN 'parked' ELSE 'queued' END
            AS state
    FROM reaction_runs
    WHERE task = %(entry)s AND event_id = %(event)s AND attempts = %(attempt)s
        AND tenant = %(tenant)s
    FOR UPDATE
) AS next
WHERE reaction_runs.reaction = next.reaction AND reaction_runs.event_id = next.event_id
    AND reaction_runs.tenant = next.tenant
RETURNING next.lost
