-- Expired tickets that nobody used.
WITH removed AS (
    DELETE FROM tickets WHERE (digest, tenant) IN (
        SELECT digest, tenant FROM tickets WHERE expires_at < now()
        LIMIT 2000 FOR UPDATE SKIP LOCKED)
    RETURNING 1
)
SELECT count(*), count(*) > 0 FROM removed
