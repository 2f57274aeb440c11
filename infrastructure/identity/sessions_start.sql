-- A new session; the one that the browser had before ends.
WITH former AS (
    DELETE FROM sessions WHERE tenant = %(tenant)s AND digest = %(former)s
)
INSERT INTO sessions (tenant, digest, id, actor, name, via, permissions, parent, fixed_token, expires_at)
VALUES (
    %(tenant)s, %(digest)s, %(id)s, %(actor)s, %(name)s, %(via)s, %(permissions)s, %(parent)s,
    %(fixed_token)s, least(now() + make_interval(days => %(days)s), %(until)s)
)
RETURNING ceil(extract(epoch FROM expires_at - now()))::bigint
