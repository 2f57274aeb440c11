-- Records the result of a run; the job is queued for its next run, or is finished.
UPDATE jobs
SET state = %(state)s::text,
    result = %(result)s,
    error = %(error)s,
    failures = failures + %(failed)s::int,
    losses = losses + %(lost)s::int,
    done = coalesce(%(done)s, done),
    total = coalesce(%(total)s, total),
    rate = coalesce(%(rate)s, rate),
    task = CASE WHEN %(state)s::text = 'queued' THEN task END,
    finished_at = CASE WHEN %(state)s::text <> 'queued' THEN now() END
WHERE id = %(job)s AND tenant = %(tenant)s
