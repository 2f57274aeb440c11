-- Jobs that finished long ago.
WITH removed AS (
    DELETE FROM jobs WHERE (id, tenant) IN (
        SELECT id, tenant FROM jobs WHERE finished_at < now() - interval '30 days'
        ORDER BY finished_at LIMIT 2000)
    RETURNING 1
)
SELECT count(*), count(*) > 0 FROM removed
