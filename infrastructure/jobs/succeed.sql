-- Ends jobs of a kind that a sweep ends, each with its result, unless they are finished by now.
UPDATE jobs
SET state = 'succeeded',
    result = ended.result,
    error = NULL,
    done = %(done)s,
    total = %(done)s,
    attempts = attempts + 1,
    task = NULL,
    started_at = coalesce(started_at, now()),
    finished_at = now()
FROM unnest(%(jobs)s::uuid[], %(results)s::jsonb[]) AS ended (id, result)
WHERE jobs.id = ended.id AND jobs.tenant = %(tenant)s AND jobs.state IN ('queued', 'running')
