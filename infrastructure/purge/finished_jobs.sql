-- Reads the next jobs after an id (ids rise with time) and deletes those that finished long ago.
WITH next AS MATERIALIZED (
    SELECT id
    FROM jobs
    WHERE id > %(after)s AND id < %(newest)s AND tenant = %(tenant)s
    ORDER BY id
    LIMIT %(limit)s
), removed AS (
    DELETE FROM jobs USING next
    WHERE jobs.id = next.id AND jobs.tenant = %(tenant)s AND jobs.finished_at < %(before)s
    RETURNING jobs.id
)
SELECT (SELECT id FROM next ORDER BY id DESC LIMIT 1), (SELECT count(*) FROM removed)
