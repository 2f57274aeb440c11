"""Principals and their permissions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, get_args

from msgspec import Struct

Permission = Literal["users:read", "users:write", "events:read", "audit:read", "admin"]
Preset = Literal["reader", "writer", "auditor", "admin"]
CallerKind = Literal["token", "session", "oidc"]

PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

_READER: Final[frozenset[Permission]] = frozenset({"users:read", "events:read"})

PRESETS: Final[Mapping[Preset, frozenset[Permission]]] = {
    "reader": _READER,
    "writer": frozenset({*_READER, "users:write"}),
    "auditor": frozenset({*_READER, "audit:read"}),
    "admin": frozenset(PERMISSIONS),
}


class Principal(Struct, frozen=True, kw_only=True):
    """The caller. Events record `actor`: `token:<id>`, `user:<OIDC subject>`, `local:<name>` or
    `system:<part>`.

    `credential` names what the caller presented, as a digest that nobody can present: `token:<hex>`
    or `session:<hex>`. None: it cannot be revoked (the token of the settings, a JWT). `parent` is
    the credential that a session was made with: the session ends with it. After `expires_at` the
    caller is unknown; None: never.
    """

    actor: str
    permissions: frozenset[Permission]
    name: str | None = None
    kind: CallerKind = "token"
    credential: str | None = None
    parent: str | None = None
    expires_at: datetime | None = None

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions or "admin" in self.permissions

    @property
    def granted(self) -> tuple[Permission, ...]:
        """Every permission the principal has, in the order of the contract."""
        return tuple(permission for permission in PERMISSIONS if self.may(permission))

    @property
    def preset(self) -> Preset | None:
        """The preset with the same permissions, if there is one."""
        granted = frozenset(self.granted)
        return next((name for name, given in PRESETS.items() if given == granted), None)
