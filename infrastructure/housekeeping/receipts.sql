-- The oldest expired receipts.
WITH removed AS (
    DELETE FROM receipts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM receipts WHERE recorded_at < now() - interval '24 hours'
        ORDER BY recorded_at LIMIT 5000))
    RETURNING 1
)
SELECT count(*), count(*) > 0 FROM removed
