-- Moves the checkpoint of the reactions, unless another process has, or ought to: one of a release with
-- reactions that this process lacks. Its row is also the lock of all
-- that decides which run of a user is next.
UPDATE checkpoints
SET position = %(reached)s, updated_at = clock_timestamp()
WHERE tenant = %(tenant)s AND projection = 'reactions' AND generation = 1 AND partition = 0
    AND position = %(position)s
    AND NOT EXISTS ({others})
RETURNING position
