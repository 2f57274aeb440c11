-- Each number is counted only up to 10,000, which limits the cost.
SELECT
    (
        SELECT jsonb_object_agg(wanted.one, found.jobs)
        FROM unnest(ARRAY['queued', 'running', 'succeeded', 'failed', 'cancelled']) AS wanted (one)
        CROSS JOIN LATERAL (
            SELECT count(*) AS jobs
            FROM (
                SELECT FROM jobs
                WHERE jobs.state = wanted.one AND jobs.tenant = %(tenant)s
                LIMIT 10000
            ) AS counted
        ) AS found
    ),
    (
        SELECT greatest(extract(epoch FROM max(last.recorded_at) - clock_timestamp()), 0)::float8
        FROM (
            SELECT recorded_at FROM stored_events ORDER BY notification_id DESC LIMIT 1
        ) AS last
    )
