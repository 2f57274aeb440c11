-- Reads each state separately, so that a page costs the same even if a state is rare. The state is
-- a range condition, not an equality: otherwise the planner may scan all jobs in order of ids.
-- `{only}` limits the jobs further.
SELECT id, kind, state, arguments, actor, done, total, rate, result, error, attempts,
       created_at, started_at, finished_at
FROM unnest(%(states)s::text[]) AS wanted (one)
CROSS JOIN LATERAL (
    SELECT jobs.*
    FROM jobs
    WHERE (jobs.state, jobs.id) < (wanted.one, %(before)s::uuid)
      AND jobs.state >= wanted.one
      AND jobs.tenant = %(tenant)s {only}
    ORDER BY jobs.state DESC, jobs.id DESC
    LIMIT %(limit)s
) AS found
ORDER BY id DESC
LIMIT %(limit)s
