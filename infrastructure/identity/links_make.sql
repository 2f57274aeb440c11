-- A new one-use link, which ends no later than the session that it stands for.
INSERT INTO signin_links (
    tenant, digest, actor, name, permissions, parent, fixed_token, session_until, expires_at)
VALUES (
    %(tenant)s, %(digest)s, %(actor)s, %(name)s, %(permissions)s, %(parent)s, %(fixed_token)s,
    %(until)s, least(now() + make_interval(mins => %(minutes)s), %(until)s)
)
RETURNING expires_at
