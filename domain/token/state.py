"""What a token is, folded from events by assignment alone."""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.token.events import (
    TokenEvent,
    TokenFirstUsed,
    TokenIssued,
    TokenRevoked,
    TokenRotated,
)


class Token(Struct, frozen=True, kw_only=True):
    """`secret` is the number of the current secret, from 1; the one before it is the former.

    The former secret is accepted until `former_expires_at`. `rotated` is the id of the last request
    for a new secret.
    """

    name: str
    permissions: tuple[str, ...]
    expires_at: datetime | None
    secret: int = 1
    former_expires_at: datetime | None = None
    rotated: UUID | None = None
    is_used: bool = False
    is_revoked: bool = False

    def accepts(self, secret: int, now: datetime) -> bool:
        """Whether a secret of the token, by its number, is accepted at a time."""
        if self.is_revoked or self.is_expired(now):
            return False
        if secret == self.secret:
            return True
        ends = self.former_expires_at
        return secret == self.secret - 1 and ends is not None and now < ends

    def ends_at(self, secret: int) -> datetime | None:
        """When a secret that is accepted now ends by itself; None: never."""
        if secret == self.secret or self.former_expires_at is None:
            return self.expires_at
        return min(self.former_expires_at, self.expires_at or self.former_expires_at)

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def fold(events: Iterable[TokenEvent]) -> Token | None:
    """The token after all events; None if there are none."""
    token = None
    for event in events:
        token = evolve(token, event)
    return token


def evolve(token: Token | None, event: TokenEvent) -> Token:
    """The token after the event; never fails on a history that `decide` made.

    Raises `ValueError` if a history does not begin with `token.issued`, or has two of them.
    """
    if token is None:
        if not isinstance(event, TokenIssued):
            raise ValueError("the history of a token begins with token.issued")
        return Token(name=event.name, permissions=event.permissions, expires_at=event.expires_at)
    match event:
        case TokenFirstUsed():
            return replace(token, is_used=True)
        case TokenRotated():
            return replace(
                token,
                secret=token.secret + 1,
                former_expires_at=event.former_expires_at,
                rotated=event.request,
            )
        case TokenRevoked():
            return replace(token, is_revoked=True)
        case TokenIssued():
            raise ValueError("a token is issued once")
        case _:
            assert_never(event)
