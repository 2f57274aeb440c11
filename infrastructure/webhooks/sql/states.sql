-- The progress of all webhooks; the parked users are counted only up to a limit.
SELECT
    progress.webhook,
    progress.position,
    progress.delivered,
    progress.failed,
    progress.last_success_at,
    progress.last_failure_at,
    progress.failing_since,
    progress.next_attempt_at,
    (
        SELECT count(*) FROM (
            SELECT FROM webhook_parked AS parked
            WHERE parked.tenant = progress.tenant AND parked.webhook = progress.webhook
            LIMIT %(max_counted)s
        ) AS counted
    )
FROM webhook_progress AS progress
WHERE progress.tenant = %(tenant)s
