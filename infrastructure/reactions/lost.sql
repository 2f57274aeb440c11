-- Runs that no worker will do or end: the queue entry is gone, or its worker is dead; or the entry was
-- taken and the run never began. `dead` is certain. Each of the others may be between two statements of
-- a living worker.
SELECT run.event_id, run.task, run.attempts,
    entry.status = 'doing'
    AND (worker.id IS NULL
        OR worker.last_heartbeat < now() - make_interval(secs => %(stalled)s)) AS dead
FROM reaction_runs AS run
LEFT JOIN procrastinate_jobs AS entry ON entry.id = run.task AND entry.status IN ('todo', 'doing')
LEFT JOIN procrastinate_workers AS worker ON worker.id = entry.worker_id
WHERE run.task IS NOT NULL AND run.tenant = %(tenant)s
    AND (entry.id IS NULL
        OR entry.status = 'doing'
        AND (run.state = 'queued'
            OR worker.id IS NULL
            OR worker.last_heartbeat < now() - make_interval(secs => %(stalled)s)))
