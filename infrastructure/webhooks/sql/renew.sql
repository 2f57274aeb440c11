-- Puts a version of a webhook into effect, unless another session leads: the endpoint and its parked
-- users are tried at once, and for another day. A replay moves the checkpoint, and back to it the
-- parked users that are further on.
WITH moved AS (
    UPDATE webhook_progress SET
        position = %(position)s,
        version = %(version)s,
        replayed = %(replayed)s,
        resume_at = %(resume_at)s,
        failing_since = NULL,
        failures = 0,
        probes = 0,
        next_attempt_at = NULL
    WHERE tenant = %(tenant)s AND webhook = %(webhook)s AND position = %(before)s
        AND {IS_LED}
    RETURNING tenant, webhook
), parked AS (
    UPDATE webhook_parked AS behind SET
        position = least(behind.position, %(replay_after)s::bigint + 1),
        tries = 0,
        next_attempt_at = behind.parked_at
    FROM moved
    WHERE behind.tenant = moved.tenant AND behind.webhook = moved.webhook
)
SELECT count(*) FROM moved
