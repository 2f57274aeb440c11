-- Uses a link up: of two requests at the same moment, the second finds it deleted.
DELETE FROM signin_links WHERE tenant = %(tenant)s AND digest = %(digest)s
RETURNING actor, name, permissions, parent, fixed_token, session_until,
    expires_at > now() AND (fixed_token IS NULL OR fixed_token = %(fixed_token)s)
