"""What each operation needs, as the contract says: kept apart from the table of the product."""

from typing import Final, Literal

from msgspec import Struct

from application.identity import Permission, Principal

Kind = Literal["open", "caller", "permission"]
Refusal = tuple[int, str | None]
"""The status, and the permission that the problem names."""


class Needed(Struct, frozen=True):
    """`permission` admits a caller; a refusal names `named`, as a rule the same.

    `tokens_only`: no session and no JWT is admitted, whatever it may do.
    """

    kind: Kind
    permission: Permission | None = None
    named: Permission | None = None
    tokens_only: bool = False

    def refusal(self, caller: Principal | None) -> Refusal | None:
        """401, or 403 with the missing permission; None: the caller is admitted.

        The caller is None if nobody knows it.
        """
        if self.kind == "open":
            return None
        if caller is None:
            return 401, None
        if self.permission is not None and not {self.permission, "admin"} & caller.permissions:
            return 403, self.named
        return (403, None) if self.tokens_only and caller.kind != "token" else None


def _permission(permission: Permission, named: Permission | None = None) -> Needed:
    return Needed("permission", permission, named or permission)


_OPEN: Final = Needed("open")
_CALLER: Final = Needed("caller")
_USERS_READ: Final = _permission("users:read")
_USERS_WRITE: Final = _permission("users:write")
_EVENTS_READ: Final = _permission("events:read")
_AUDIT_READ: Final = _permission("audit:read")
_ADMIN: Final = _permission("admin")

CONTRACT: Final = {
    "GET /v1/users": _USERS_READ,
    "POST /v1/users": _USERS_WRITE,
    "GET /v1/users/{user_id}": _USERS_READ,
    "PUT /v1/users/{user_id}": _USERS_WRITE,
    "PATCH /v1/users/{user_id}": _USERS_WRITE,
    "POST /v1/users/{user_id}/suspend": _USERS_WRITE,
    "POST /v1/users/{user_id}/reinstate": _USERS_WRITE,
    "POST /v1/users/{user_id}/restore": _USERS_WRITE,
    "DELETE /v1/users/{user_id}": _USERS_WRITE,
    "POST /v1/users/{user_id}/erase": _ADMIN,
    "GET /v1/users/{user_id}/history": _AUDIT_READ,
    "GET /v1/users/{user_id}/blame": _AUDIT_READ,
    "GET /v1/audit": _AUDIT_READ,
    "POST /v1/exports": _AUDIT_READ,
    "GET /v1/events": _EVENTS_READ,
    "GET /v1/events/{event_id}": _EVENTS_READ,
    "POST /v1/stream/tickets": _EVENTS_READ,
    "GET /v1/stats": _USERS_READ,
    "GET /v1/projections": _EVENTS_READ,
    "GET /v1/projections/{name}/views/{stream}": _ADMIN,
    "GET /v1/projections/{name}/parked": _ADMIN,
    "POST /v1/projections/{name}/parked/retry": _ADMIN,
    "POST /v1/projections/{name}/parked/{stream}/retry": _ADMIN,
    "POST /v1/projections/{name}/parked/{stream}/skip": _ADMIN,
    "POST /v1/projections/{name}/parked/{stream}/unskip": _ADMIN,
    "POST /v1/projections/{name}/pause": _ADMIN,
    "POST /v1/projections/{name}/resume": _ADMIN,
    "POST /v1/projections/{name}/rebuild": _ADMIN,
    "POST /v1/projections/{name}/verify": _ADMIN,
    "POST /v1/projections/{name}/rollback": _ADMIN,
    "DELETE /v1/projections/{name}": _ADMIN,
    "GET /v1/reactions": _ADMIN,
    "GET /v1/reactions/{name}/parked": _ADMIN,
    "POST /v1/reactions/{name}/parked/{user}/retry": _ADMIN,
    "POST /v1/reactions/{name}/parked/{user}/skip": _ADMIN,
    "POST /v1/reactions/{name}/enable": _ADMIN,
    "POST /v1/reactions/{name}/disable": _ADMIN,
    "GET /v1/relay": _ADMIN,
    "GET /v1/relay/rejected": _ADMIN,
    "POST /v1/relay/rejected/replay": _ADMIN,
    # An auditor sees its own exports, and no other job.
    "GET /v1/jobs": _permission("audit:read", named="admin"),
    "GET /v1/jobs/{job_id}": _ADMIN,
    "GET /v1/jobs/{job_id}/result": _ADMIN,
    "POST /v1/jobs/{job_id}/cancel": _ADMIN,
    "POST /v1/webhooks": _ADMIN,
    "GET /v1/webhooks": _ADMIN,
    "GET /v1/webhooks/{webhook_id}": _ADMIN,
    "PATCH /v1/webhooks/{webhook_id}": _ADMIN,
    "DELETE /v1/webhooks/{webhook_id}": _ADMIN,
    "POST /v1/webhooks/{webhook_id}/test": _ADMIN,
    "POST /v1/webhooks/{webhook_id}/rotate-secret": _ADMIN,
    "POST /v1/webhooks/{webhook_id}/pause": _ADMIN,
    "POST /v1/webhooks/{webhook_id}/resume": _ADMIN,
    "POST /v1/webhooks/{webhook_id}/replay": _ADMIN,
    "GET /v1/webhooks/{webhook_id}/attempts": _ADMIN,
    "GET /v1/webhooks/{webhook_id}/parked": _ADMIN,
    "POST /v1/webhooks/{webhook_id}/parked/{user}/retry": _ADMIN,
    "POST /v1/tokens": _ADMIN,
    "GET /v1/tokens": _ADMIN,
    "GET /v1/tokens/{token_id}": _ADMIN,
    "DELETE /v1/tokens/{token_id}": _ADMIN,
    "POST /v1/tokens/{token_id}/rotate": _ADMIN,
    "GET /v1/sessions": _CALLER,
    "DELETE /v1/sessions/{session_id}": _CALLER,
    "GET /v1/me": _CALLER,
    "GET /v1/settings": _ADMIN,
    "POST /auth/links": Needed("permission", "admin", "admin", tokens_only=True),
    "POST /auth/signin": _OPEN,
    "POST /auth/signout": _OPEN,
    "GET /auth/methods": _OPEN,
    "GET /auth/login": _OPEN,
    "GET /auth/callback": _OPEN,
    "GET /health/live": _OPEN,
    "GET /health/ready": _OPEN,
    # On the same machine it is open; the callers here are on another one.
    "GET /metrics": _ADMIN,
}
"""By method and path; those that no release has yet are here already."""

STREAM: Final = _EVENTS_READ
"""`WS /v1/stream`."""

OPEN_PAGES: Final = (
    "/",
    "/docs",
    "/openapi.json",
    "/problems/",
    "/schemas/",
    "/console",
    "/asyncapi.json",
    "/auth/",
)
"""The paths, and the beginnings of paths, of pages that everybody may read."""
