-- Ends the sessions that are in the middle of a page of views, or of a retry of a parked stream, but
-- have waited too long for their client. The timeout for idle transactions alone is not enough: it
-- does not run in the middle of a query or a reply, nor after the Flush that ends a pipeline.
SELECT pg_terminate_backend(activity.pid)
FROM pg_locks AS held
JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.locktype = 'relation'
  AND held.mode IN ('RowExclusiveLock', 'RowShareLock')
  AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND held.relation = 'checkpoints'::regclass
  AND activity.wait_event_type = 'Client'
  AND activity.state_change < clock_timestamp() - %(frozen)s * interval '1 millisecond'
