-- Runs of reactions that finished long ago. Until then they prove that each was queued once.
WITH removed AS (
    DELETE FROM reaction_runs WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM reaction_runs
        WHERE finished_at < now() - interval '30 days' AND NOT follow_up
        ORDER BY finished_at LIMIT 5000))
    RETURNING 1
)
SELECT count(*), count(*) > 0 FROM removed
