-- Ends the sessions that hold one of these advisory locks but have waited too long for their client:
-- a live leader sends a heartbeat at least every 0.5 s. The idle timeouts alone are not enough: they
-- do not run in the middle of a query or a reply, nor after the Flush that ends a pipeline.
SELECT pg_terminate_backend(activity.pid)
FROM pg_locks AS held
JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.locktype = 'advisory'
  AND held.granted
  AND held.objsubid = 1
  AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (held.classid::bigint << 32 | held.objid::bigint) = ANY(%(keys)s::bigint[])
  AND activity.wait_event_type = 'Client'
  AND activity.state_change < clock_timestamp() - %(frozen)s * interval '1 millisecond'
