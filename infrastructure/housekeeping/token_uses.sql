-- The last uses of tokens that are revoked: those that hold no claim any more.
WITH removed AS (
    DELETE FROM token_uses WHERE ctid = ANY (ARRAY(
        SELECT u.ctid FROM token_uses u
        WHERE NOT EXISTS (
            SELECT FROM claims c
            WHERE c.stream_id = u.token AND c.scope IN ('token-0', 'token-1')
              AND c.tenant = u.tenant)
        LIMIT 2000))
    RETURNING 1
)
SELECT count(*), count(*) > 0 FROM removed
