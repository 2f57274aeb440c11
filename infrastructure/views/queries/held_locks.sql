-- The 64-bit advisory locks that are held in this database.
SELECT held.classid::bigint << 32 | held.objid::bigint
FROM pg_locks AS held
WHERE held.locktype = 'advisory'
  AND held.granted
  AND held.objsubid = 1
  AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
