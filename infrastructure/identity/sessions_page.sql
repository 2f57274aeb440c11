-- The sessions of an actor, or of all, that have not ended, the newest first.
SELECT id, digest, actor, name, via, created_at, last_seen_at, expires_at, parent FROM sessions
WHERE tenant = %(tenant)s AND (%(actor)s::text IS NULL OR actor = %(actor)s::text)
    AND (%(before)s::uuid IS NULL OR id < %(before)s::uuid)
    AND expires_at > now() AND last_seen_at > now() - make_interval(hours => %(idle)s)
    AND (fixed_token IS NULL OR fixed_token = %(fixed_token)s)
ORDER BY id DESC LIMIT %(limit)s
