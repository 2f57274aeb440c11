-- Entries for unfinished jobs move to the queues of their classes, under the one task of all kinds.
UPDATE procrastinate_jobs
SET queue_name = CASE
        WHEN task_name = 'export' THEN 'files'
        WHEN task_name IN ('rebuild', 'rollback', 'verify') THEN 'builds'
        ELSE 'maintenance'
    END,
    task_name = 'job',
    args = args - 'timestamp';

-- The purge finds jobs that finished long ago.
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
