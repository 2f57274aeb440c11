-- Sessions that nobody has used for twelve hours: also those that have expired, soon after.
WITH removed AS (
    DELETE FROM sessions WHERE (digest, tenant) IN (
        SELECT digest, tenant FROM sessions WHERE last_seen_at < now() - interval '12 hours'
        LIMIT 2000 FOR UPDATE SKIP LOCKED)
    RETURNING 1
)
SELECT count(*), count(*) > 0 FROM removed
