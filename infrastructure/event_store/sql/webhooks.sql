-- Webhooks: the nearest snapshot of each, if there is one, and the later events, with the key.
-- A snapshot is a row like an event's: its event id is null.
SELECT l.*, k.master_id, k.wrapped
FROM unnest(%(webhooks)s::uuid[]) AS webhook (id)
LEFT JOIN LATERAL (
    SELECT s.master_id, s.wrapped FROM subject_keys s
    WHERE s.subject = webhook.id AND s.tenant = %(tenant)s
    LIMIT 1) AS k ON true
LEFT JOIN LATERAL (
    SELECT * FROM snapshots s
    WHERE s.stream = webhook.id AND s.tenant = %(tenant)s AND s.form = %(form)s
    ORDER BY s.version DESC LIMIT 1) AS s ON true
CROSS JOIN LATERAL (
    SELECT s.position, s.stream, s.version AS originator_version, s.form, s.sealed, NULL, NULL::uuid,
           NULL, NULL, NULL, NULL::uuid, s.recorded_at, s.created_at
    WHERE s.version IS NOT NULL
    UNION ALL
    SELECT {EVENT}, NULL::timestamptz AS created_at
    FROM stored_events e
    WHERE e.originator_id = webhook.id AND e.kind = 'webhook'
      AND e.originator_version > coalesce(s.version, 0)
) AS l
ORDER BY webhook.id, l.originator_version
