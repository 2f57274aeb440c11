"""What each event of a token changed, for audit items."""

from collections.abc import Mapping
from typing import Any, assert_never

from application.timestamps import timestamp
from domain.token.events import (
    TokenEvent,
    TokenFirstUsed,
    TokenIssued,
    TokenRevoked,
    TokenRotated,
)


def token_changes(event: TokenEvent) -> Mapping[str, tuple[Any, Any]]:
    """Each field before and after the event. A secret is in no event, so its rotation shows only until
    when the former one is accepted.
    """
    match event:
        case TokenIssued():
            return {
                "name": (None, event.name),
                "permissions": (None, event.permissions),
                "expires_at": (None, event.expires_at and timestamp(event.expires_at)),
                "status": (None, "active"),
            }
        case TokenFirstUsed():
            return {}
        case TokenRotated():
            ends = event.former_expires_at
            return {"former_expires_at": (None, ends and timestamp(ends))}
        case TokenRevoked():
            return {"status": ("active", "revoked")}
        case _:
            assert_never(event)
