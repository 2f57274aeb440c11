"""Principals, their permissions, and the port that finds a principal by its token."""

from collections.abc import Mapping
from typing import Final, Literal, Protocol, get_args

from msgspec import Struct

Permission = Literal["users:read", "users:write", "events:read", "audit:read", "admin"]
Preset = Literal["reader", "writer", "auditor", "admin"]

PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

_READER: Final[frozenset[Permission]] = frozenset({"users:read", "events:read"})

PRESETS: Final[Mapping[Preset, frozenset[Permission]]] = {
    "reader": _READER,
    "writer": frozenset({*_READER, "users:write"}),
    "auditor": frozenset({*_READER, "audit:read"}),
    "admin": frozenset(PERMISSIONS),
}


class Principal(Struct, frozen=True, kw_only=True):
    """The caller. Events record `actor`: `token:<id>`, `user:<subject>`, `system:<part>`."""

    actor: str
    permissions: frozenset[Permission]
    name: str | None = None

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions or "admin" in self.permissions

    @property
    def granted(self) -> tuple[Permission, ...]:
        """Every permission the principal has, in the order of the contract."""
        return tuple(permission for permission in PERMISSIONS if self.may(permission))


class Identity(Protocol):
    async def principal(self, token: str) -> Principal | None:
        """The principal of a token; None if the token is unknown or no longer valid."""
        ...
