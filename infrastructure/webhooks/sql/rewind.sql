-- Begins a replay: the checkpoint moves, and the parked users begin there too if they are further on.
WITH moved AS (
    UPDATE webhook_progress SET
        position = %(position)s,
        version = %(version)s,
        replayed = %(replayed)s,
        resume_at = %(resume_at)s
    WHERE tenant = %(tenant)s AND webhook = %(webhook)s AND position = %(before)s
        AND {IS_LED}
    RETURNING tenant, webhook, position
), parked AS (
    UPDATE webhook_parked AS behind SET
        position = least(behind.position, moved.position + 1),
        tries = 0,
        next_attempt_at = behind.parked_at
    FROM moved
    WHERE behind.tenant = moved.tenant AND behind.webhook = moved.webhook
)
SELECT count(*) FROM moved
