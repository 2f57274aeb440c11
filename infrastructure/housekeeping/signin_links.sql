-- Expired sign-in links that nobody used.
WITH removed AS (
    DELETE FROM signin_links WHERE (digest, tenant) IN (
        SELECT digest, tenant FROM signin_links WHERE expires_at < now()
        LIMIT 2000 FOR UPDATE SKIP LOCKED)
    RETURNING 1
)
SELECT count(*), count(*) > 0 FROM removed
