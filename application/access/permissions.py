"""The one table of permissions: what each operation, stream and job needs.

An operation without an entry does not start. `docs/security.md` shows the same for people.
"""

from collections.abc import Mapping
from typing import Final, Literal

from application.identity import Permission

Need = Permission | Literal["caller", "open", "admin-or-own-export", "admin-unless-local"]
"""`caller`: any known caller. `open`: everybody.

`admin-or-own-export`: `admin`, or `audit:read` for jobs that export and that the caller requested.
`admin-unless-local`: `admin`, or a client on the same machine.
"""

NEEDS: Final[Mapping[str, Need]] = {
    # Users
    "register_user": "users:write",
    "list_users": "users:read",
    "read_user": "users:read",
    "replace_user": "users:write",
    "change_user": "users:write",
    "suspend_user": "users:write",
    "reinstate_user": "users:write",
    "restore_user": "users:write",
    "delete_user": "users:write",
    "erase_user": "admin",
    # Audit and exports
    "read_audit": "audit:read",
    "read_history": "audit:read",
    "read_blame": "audit:read",
    "create_export": "audit:read",
    # Events
    "list_events": "events:read",
    "read_event": "events:read",
    "create_stream_ticket": "events:read",
    "stream_events": "events:read",
    # Jobs
    "list_jobs": "admin-or-own-export",
    "read_job": "admin-or-own-export",
    "read_job_result": "admin-or-own-export",
    "cancel_job": "admin-or-own-export",
    # Sign-in and sessions; a session or a JWT makes no links, whatever its permissions
    "create_signin_link": "admin",
    "sign_in": "open",
    "sign_out": "open",
    "list_signin_methods": "open",
    "begin_oidc_login": "open",
    "finish_oidc_login": "open",
    "list_sessions": "caller",
    "end_session": "caller",
    # Overview
    "read_me": "caller",
    "read_stats": "users:read",
    "list_projections": "events:read",
    # Projections
    "rebuild_projection": "admin",
    "roll_back_projection": "admin",
    "verify_projection": "admin",
    "read_stored_views": "admin",
    "pause_projection": "admin",
    "resume_projection": "admin",
    "drop_projection": "admin",
    "list_parked": "admin",
    "retry_all_parked": "admin",
    "retry_parked": "admin",
    "skip_parked": "admin",
    "unskip_parked": "admin",
    # Reactions
    "list_reactions": "admin",
    "enable_reaction": "admin",
    "disable_reaction": "admin",
    "list_parked_users": "admin",
    "retry_parked_user": "admin",
    "skip_parked_user": "admin",
    # Relay
    "read_relay": "admin",
    "list_rejected": "admin",
    "replay_rejected": "admin",
    # Webhooks
    "create_webhook": "admin",
    "list_webhooks": "admin",
    "read_webhook": "admin",
    "change_webhook": "admin",
    "delete_webhook": "admin",
    "test_webhook": "admin",
    "rotate_webhook_secret": "admin",
    "pause_webhook": "admin",
    "resume_webhook": "admin",
    "replay_webhook": "admin",
    "list_webhook_attempts": "admin",
    "list_webhook_parked": "admin",
    "retry_webhook_parked": "admin",
    # Tokens
    "create_token": "admin",
    "list_tokens": "admin",
    "read_token": "admin",
    "rotate_token": "admin",
    "revoke_token": "admin",
    # Health
    "read_liveness": "open",
    "read_readiness": "open",
    "read_metrics": "admin-unless-local",
}
