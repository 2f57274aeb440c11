-- Unfinished jobs that no worker will run or end: the queue entry is gone, or its worker is dead; or
-- the entry was taken and the job never began. `dead` is certain. Each of the others may be between
-- two statements of a living worker.
SELECT jobs.id, jobs.task, jobs.attempts,
       entry.status = 'doing'
       AND (worker.id IS NULL
            OR worker.last_heartbeat < now() - make_interval(secs => %(stalled)s)) AS dead
FROM jobs
LEFT JOIN procrastinate_jobs entry
    ON entry.id = jobs.task AND entry.status IN ('todo', 'doing')
LEFT JOIN procrastinate_workers worker ON worker.id = entry.worker_id
WHERE jobs.state IN ('queued', 'running')
  AND jobs.tenant = %(tenant)s
  -- A job without an entry's number is one of a kind that a sweep ends.
  AND jobs.task IS NOT NULL
  AND (entry.id IS NULL
       OR entry.status = 'doing'
       AND (jobs.state = 'queued'
            OR worker.id IS NULL
            OR worker.last_heartbeat < now() - make_interval(secs => %(stalled)s)))
