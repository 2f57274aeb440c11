"""Everything that can happen to a token; the topics and fields are stored for good.

No event has a secret or a digest of one. The name is a label of a program, not personal data: it is
stored open.
"""

from datetime import datetime
from typing import ClassVar, Final, get_args
from uuid import UUID

from domain.event import Event


class TokenIssued(Event, frozen=True):
    """`permissions` in alphabetical order; `expires_at` None: the token does not expire."""

    topic: ClassVar[str] = "token.issued"

    name: str
    permissions: tuple[str, ...]
    expires_at: datetime | None = None


class TokenFirstUsed(Event, frozen=True):
    """A caller presented the token for the first time; later uses are not recorded."""

    topic: ClassVar[str] = "token.first_used"


class TokenRotated(Event, frozen=True):
    """The token has a new secret; its id, name, permissions and expiry stay.

    The former secret is accepted until `former_expires_at`; None: it ended with this event.
    `request` is the id of the request: one that is carried out twice after a crash rotates once.
    """

    topic: ClassVar[str] = "token.rotated"

    request: UUID
    former_expires_at: datetime | None = None


class TokenRevoked(Event, frozen=True):
    """No secret of the token is accepted any more."""

    topic: ClassVar[str] = "token.revoked"
    is_terminal: ClassVar[bool] = True


TokenEvent = TokenIssued | TokenFirstUsed | TokenRotated | TokenRevoked

TOKEN_EVENTS: Final[tuple[type[TokenEvent], ...]] = get_args(TokenEvent)
