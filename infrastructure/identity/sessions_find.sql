-- Those of some sessions that have not ended. The caller checks their parents.
SELECT digest, actor, name, permissions, parent, expires_at FROM sessions
WHERE tenant = %(tenant)s AND digest = ANY (%(digests)s::bytea[])
    AND expires_at > now() AND last_seen_at > now() - make_interval(hours => %(idle)s)
    AND (fixed_token IS NULL OR fixed_token = %(fixed_token)s)
