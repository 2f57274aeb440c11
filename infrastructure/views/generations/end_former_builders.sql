-- Ends the sessions of a builder that was replaced, for example because it is frozen in the middle of a
-- COPY, where no idle timeout runs, or while an index is made. Only builders write to a generation
-- that is being filled, and the caller holds their lock.
SELECT count(pg_terminate_backend(activity.pid, 2000))
FROM generations AS filling
JOIN pg_locks AS held ON held.relation = to_regclass(
    quote_ident(filling.projection || '_g' || filling.generation))
JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE filling.tenant = %(tenant)s
  AND filling.projection = %(name)s
  AND filling.state = 'filling'
  AND held.locktype = 'relation'
  AND held.granted
  AND held.mode IN ('RowExclusiveLock', 'ShareLock')
  AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND activity.backend_type = 'client backend'
  AND activity.pid <> pg_backend_pid()
