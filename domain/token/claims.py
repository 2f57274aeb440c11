"""The claims of a token: each secret that may be accepted holds one.

The secrets of a token take the two scopes in turn, so the current and the former one stand side by
side, and a rotation replaces the one before these.
"""

from typing import Final, assert_never

from msgspec import Struct

from domain.token.events import (
    TokenEvent,
    TokenFirstUsed,
    TokenIssued,
    TokenRevoked,
    TokenRotated,
)
from domain.token.state import Token

SCOPES: Final = ("token-0", "token-1")
MAX_TOKENS: Final = 10_000
"""So many tokens may be issued and not revoked, so that a check of all of them is bounded."""


class ClaimChanges(Struct, frozen=True):
    """The scope that a new secret takes, and those that the token releases before."""

    take: str | None = None
    release: tuple[str, ...] = ()


def claim_changes(token: Token | None, event: TokenEvent) -> ClaimChanges:
    """What the event changes about the claims of the token in the state before it."""
    match event:
        case TokenIssued():
            return ClaimChanges(take=_scope(1))
        case TokenRotated():
            assert token is not None, "a rotation follows the issue"
            take = _scope(token.secret + 1)
            return ClaimChanges(take, SCOPES if event.former_expires_at is None else (take,))
        case TokenRevoked():
            return ClaimChanges(release=SCOPES)
        case TokenFirstUsed():
            return ClaimChanges()
        case _:
            assert_never(event)


def secret_in(scope: str, token: Token) -> int:
    """The number of the token's secret that holds a claim of this scope."""
    return token.secret if scope == _scope(token.secret) else token.secret - 1


def _scope(secret: int) -> str:
    return SCOPES[secret % len(SCOPES)]
