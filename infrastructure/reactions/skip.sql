-- Ends the run at which a user is parked, unless this skip was done before. A row means: it is done.
WITH known AS (
    SELECT 1 FROM reaction_runs WHERE skip_id = %(id)s AND tenant = %(tenant)s
), skipped AS (
    UPDATE reaction_runs
    SET state = 'skipped', follow_up = true, finished_at = clock_timestamp(),
        skip_id = %(id)s, skipped_by = %(actor)s, skip_reason = %(reason)s
    WHERE reaction = %(name)s AND stream = %(user)s AND tenant = %(tenant)s AND state = 'parked'
        AND NOT EXISTS (SELECT FROM known)
    RETURNING 1
)
SELECT * FROM known UNION ALL SELECT * FROM skipped
