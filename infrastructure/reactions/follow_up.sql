-- Queues the next run of each user whose last one is finished.
WITH freed AS (
    UPDATE reaction_runs SET follow_up = false
    WHERE follow_up AND tenant = %(tenant)s
    RETURNING reaction, stream
), next AS (
    SELECT first.reaction, first.event_id
    FROM (SELECT DISTINCT reaction, stream FROM freed) AS users
    CROSS JOIN LATERAL (
        SELECT reaction, event_id, state FROM reaction_runs
        WHERE reaction = users.reaction AND stream = users.stream
            AND finished_at IS NULL AND tenant = %(tenant)s
        ORDER BY position LIMIT 1
    ) AS first
    WHERE first.state = 'waiting'
)
UPDATE reaction_runs AS run
SET state = 'queued', due_at = clock_timestamp(), since = clock_timestamp()
FROM next
WHERE run.reaction = next.reaction AND run.event_id = next.event_id AND run.tenant = %(tenant)s
