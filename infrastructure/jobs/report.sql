-- Updates the progress of runs where it changed, for runs that are still their job's current run.
UPDATE jobs
SET done = runs.done, total = runs.total, rate = runs.rate
FROM unnest(
    %(jobs)s::uuid[], %(attempts)s::int[], %(done)s::bigint[], %(total)s::bigint[], %(rate)s::float8[]
) AS runs (job, attempt, done, total, rate)
WHERE jobs.id = runs.job
  AND jobs.tenant = %(tenant)s
  AND jobs.attempts = runs.attempt
  AND jobs.state = 'running'
  AND (jobs.done, jobs.total) IS DISTINCT FROM (runs.done, runs.total)
