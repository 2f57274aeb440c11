"""Everything that can be asked of a token; a command holds checked values only."""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct


class IssueToken(Struct, frozen=True, kw_only=True):
    """`permissions` in any order; `expires_at` None: the token does not expire."""

    name: str
    permissions: frozenset[str]
    expires_at: datetime | None = None
    now: datetime


class UseToken(Struct, frozen=True):
    """A caller presented the token."""


class RotateToken(Struct, frozen=True, kw_only=True):
    """Give the token a new secret; the former one is accepted for `overlap` more."""

    request: UUID
    overlap: timedelta = timedelta()
    now: datetime


class RevokeToken(Struct, frozen=True):
    pass


TokenCommand = IssueToken | UseToken | RotateToken | RevokeToken
