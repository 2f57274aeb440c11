-- Exports whose job finished long ago, or was never recorded; few at once, because each is deleted
-- with all its pieces.
WITH removed AS (
    DELETE FROM exports WHERE (id, tenant) IN (
        SELECT e.id, e.tenant
        FROM exports e LEFT JOIN jobs j ON j.id = e.id AND j.tenant = e.tenant
        WHERE coalesce(j.finished_at, CASE WHEN j.id IS NULL THEN e.asked_at END)
              < now() - interval '24 hours'
        LIMIT 4 FOR UPDATE OF e SKIP LOCKED)
    RETURNING 1
)
SELECT count(*), count(*) > 0 FROM removed
