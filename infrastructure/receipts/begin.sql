-- Begins the execution of a command, unless there is a receipt of its key; takes over an execution
-- of the same request that has been silent for too long. Status 0: no answer yet.
INSERT INTO receipts AS r (tenant, actor, key, request, status, stream, version, position, recorded_at)
VALUES (%(tenant)s, %(actor)s, %(key)s, %(request)s, 0, %(id)s, 1, 0, clock_timestamp())
ON CONFLICT (key, actor, tenant) DO UPDATE
SET version = r.version + 1, recorded_at = clock_timestamp()
WHERE r.status = 0 AND r.request = excluded.request
  AND r.recorded_at < clock_timestamp() - make_interval(secs => %(silent)s)
RETURNING stream, version
