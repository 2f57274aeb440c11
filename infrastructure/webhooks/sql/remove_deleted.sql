-- Removes what is stored of webhooks that are deleted: no claim of theirs is left.
WITH gone AS (
    DELETE FROM webhook_progress AS progress
    WHERE tenant = %(tenant)s AND NOT EXISTS (
        SELECT FROM claims
        WHERE claims.tenant = progress.tenant AND claims.scope = %(scope)s
            AND claims.stream_id = progress.webhook)
    RETURNING webhook
), parked AS (
    DELETE FROM webhook_parked WHERE tenant = %(tenant)s AND webhook IN (SELECT webhook FROM gone)
), attempted AS (
    DELETE FROM webhook_attempts WHERE tenant = %(tenant)s AND webhook IN (SELECT webhook FROM gone)
)
SELECT webhook FROM gone
