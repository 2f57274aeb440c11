-- Old receipts in the next pages of the table, which is read once. A BRIN index by time would not
-- help: pages are emptied and refilled, so that in the end each contains rows of all times.
WITH removed AS (
    DELETE FROM receipts
    WHERE ctid >= format('(%%s,0)', %(step)s::bigint * 128)::tid
      AND ctid < format('(%%s,0)', (%(step)s::bigint + 1) * 128)::tid
      AND recorded_at < now() - interval '24 hours'
    RETURNING 1
)
SELECT (SELECT count(*) FROM removed),
       (%(step)s::bigint + 1) * 128
           < pg_relation_size('receipts') / current_setting('block_size')::bigint
