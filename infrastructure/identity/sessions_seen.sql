-- Notes the last use of some sessions, to about a minute: several processes may see the same one. An
-- idle session that has ended does not come back.
UPDATE sessions SET last_seen_at = now()
WHERE tenant = %(tenant)s AND digest = ANY (%(digests)s::bytea[])
    AND last_seen_at < now() - interval '50 seconds'
    AND last_seen_at > now() - make_interval(hours => %(idle)s)
RETURNING 1
