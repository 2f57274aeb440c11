-- Stores the progress of a run where it changed; returns a row while the run is its job's current one.
WITH stored AS (
    UPDATE jobs
    SET done = %(done)s, total = %(total)s, rate = %(rate)s
    WHERE id = %(job)s AND tenant = %(tenant)s AND attempts = %(attempt)s AND state = 'running'
      AND (done, total) IS DISTINCT FROM (%(done)s::bigint, %(total)s::bigint)
)
SELECT cancel_requested
FROM jobs
WHERE id = %(job)s AND tenant = %(tenant)s AND attempts = %(attempt)s AND state = 'running'
