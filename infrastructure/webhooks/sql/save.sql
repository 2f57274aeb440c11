-- Moves the checkpoint of a webhook, unless another session leads, and records all that belongs to
-- it: the parked users, those that are parked no more, and the attempts. All of it, or nothing.
WITH moved AS (
    UPDATE webhook_progress SET
        position = %(position)s,
        version = %(version)s,
        replayed = %(replayed)s,
        resume_at = %(resume_at)s,
        last_success_at = %(last_success_at)s,
        last_failure_at = %(last_failure_at)s,
        failing_since = %(failing_since)s,
        failures = %(failures)s,
        probes = %(probes)s,
        next_attempt_at = %(next_attempt_at)s,
        delivered = delivered + %(delivered)s,
        failed = failed + %(failed)s
    WHERE tenant = %(tenant)s AND webhook = %(webhook)s AND position = %(before)s
        AND {IS_LED}
    RETURNING tenant, webhook, delivered + failed - %(delivered)s - %(failed)s AS attempts
), parked AS (
    INSERT INTO webhook_parked
        (tenant, webhook, user_id, position, tries, error, parked_at, next_attempt_at)
    SELECT moved.tenant, moved.webhook, given.user, given.position, given.tries, given.error,
        given.parked_at, given.next_attempt_at
    FROM moved, json_to_recordset(%(parked)s::json) AS given (
        "user" uuid, position bigint, tries integer, error text, parked_at timestamptz,
        next_attempt_at timestamptz)
    ON CONFLICT (tenant, webhook, user_id) DO UPDATE SET
        position = excluded.position,
        tries = excluded.tries,
        error = excluded.error,
        next_attempt_at = excluded.next_attempt_at
), unparked AS (
    DELETE FROM webhook_parked AS gone USING moved
    WHERE gone.tenant = moved.tenant AND gone.webhook = moved.webhook
        AND gone.user_id = ANY (%(unparked)s::uuid[])
), attempted AS (
    INSERT INTO webhook_attempts (
        tenant, webhook, slot, number, event_id, user_id, position, status, error, milliseconds,
        at, tries)
    SELECT moved.tenant, moved.webhook, (moved.attempts + given.number) %% %(kept)s,
        moved.attempts + given.number, given.event_id, given.user, given.position, given.status,
        given.error, given.milliseconds, given.at, given.tries
    FROM moved, json_to_recordset(%(attempts)s::json) AS given (
        number bigint, event_id uuid, "user" uuid, position bigint, status smallint, error text,
        milliseconds integer, at timestamptz, tries integer)
    ON CONFLICT (tenant, webhook, slot) DO UPDATE SET
        number = excluded.number,
        event_id = excluded.event_id,
        user_id = excluded.user_id,
        position = excluded.position,
        status = excluded.status,
        error = excluded.error,
        milliseconds = excluded.milliseconds,
        at = excluded.at,
        tries = excluded.tries
)
SELECT count(*) FROM moved
