-- About how many events there are up to a position, in a time that does not grow with the log: exact
-- up to a limit, beyond it the planner's number of rows, which vacuum and ANALYZE keep up to date.
SELECT CASE WHEN counted.events < %(limit)s THEN counted.events
            ELSE greatest(counted.events, log.reltuples::bigint) END
FROM (
    SELECT count(*) AS events
    FROM (SELECT FROM stored_events WHERE notification_id <= %(up_to)s LIMIT %(limit)s) AS first_ones
) AS counted
CROSS JOIN pg_class AS log
WHERE log.oid = 'stored_events'::regclass
