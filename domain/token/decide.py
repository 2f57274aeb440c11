"""The rules of a token: from a state and a command to the events that follow."""

from datetime import timedelta
from typing import Final, assert_never

from domain.errors import TokenAlreadyExists, TokenExpired, TokenExpiryPast, TokenNotFound
from domain.token.commands import IssueToken, RevokeToken, RotateToken, TokenCommand, UseToken
from domain.token.events import (
    TokenEvent,
    TokenFirstUsed,
    TokenIssued,
    TokenRevoked,
    TokenRotated,
)
from domain.token.state import Token

_AT_ONCE: Final = timedelta()


def decide(token: Token | None, command: TokenCommand) -> tuple[TokenEvent, ...]:
    """The events that the command causes; none if it changes nothing.

    Raises `TokenAlreadyExists`, `TokenExpiryPast`, `TokenExpired`, and `TokenNotFound`, also for a
    rotation of a token that is revoked.
    """
    match command:
        case IssueToken():
            return _issue(token, command)
        case UseToken():
            known = _existing(token)
            return () if known.is_used or known.is_revoked else (TokenFirstUsed(),)
        case RotateToken():
            return _rotate(_existing(token), command)
        case RevokeToken():
            return () if _existing(token).is_revoked else (TokenRevoked(),)
        case _:
            assert_never(command)


def _existing(token: Token | None) -> Token:
    if token is None:
        raise TokenNotFound
    return token


def _issue(token: Token | None, command: IssueToken) -> tuple[TokenEvent, ...]:
    if token is not None:
        raise TokenAlreadyExists
    if command.expires_at is not None and command.expires_at <= command.now:
        raise TokenExpiryPast
    return (
        TokenIssued(
            name=command.name,
            permissions=tuple(sorted(command.permissions)),
            expires_at=command.expires_at,
        ),
    )


def _rotate(token: Token, command: RotateToken) -> tuple[TokenEvent, ...]:
    if token.is_revoked:
        raise TokenNotFound
    if token.rotated == command.request:
        return ()
    if token.is_expired(command.now):
        raise TokenExpired
    ends = None if command.overlap == _AT_ONCE else command.now + command.overlap
    return (TokenRotated(request=command.request, former_expires_at=ends),)
