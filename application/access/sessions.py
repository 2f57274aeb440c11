"""Sessions of the console, and the ports to where they are stored."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.access.ports import CredentialSource
from application.identity import Permission

SESSION_DAYS: Final = 7
IDLE_HOURS: Final = 12

Via = Literal["link", "token", "oidc"]


class NewSession(Struct, frozen=True, kw_only=True):
    """A session to start; see `Principal` for `actor`, `permissions`, `name` and `parent`.

    It lasts until `until`, and `SESSION_DAYS` at most. With `by_fixed_token` it is valid as long as
    the token of the settings is the same.
    """

    actor: str
    permissions: frozenset[Permission]
    name: str | None
    via: Via
    parent: str | None = None
    by_fixed_token: bool = False
    until: datetime | None = None


class StartedSession(Struct, frozen=True):
    """`secret` is the value of the cookie, and lasts `seconds`; `repr` leaves it out."""

    secret: str
    seconds: int

    def __repr__(self) -> str:
        return f"StartedSession(seconds={self.seconds!r})"


class Session(Struct, frozen=True, kw_only=True):
    """A session as people see it; `last_seen_at` is at most two minutes old while it is used."""

    id: UUID
    credential: str
    actor: str
    name: str | None
    via: Via
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    parent: str | None


class SessionStore(CredentialSource, Protocol):
    """Sessions, each with a secret; a session that nobody used for `IDLE_HOURS` is not found."""

    async def start(self, session: NewSession, former: str | None) -> StartedSession:
        """Store a new session and, in the same transaction, end the one with the credential `former`.

        Raises `Unavailable`.
        """
        ...

    async def end(self, credential: str) -> None:
        """End the session, if it has not ended. Raises `Unavailable`."""
        ...


class SessionRecords(Protocol):
    """The sessions that have not ended; `actor` None stands for those of all actors."""

    async def page(self, actor: str | None, before: UUID | None, limit: int) -> Sequence[Session]:
        """The newest first, those with a smaller id than `before`. Raises `Unavailable`."""
        ...

    async def end_one(self, session_id: UUID, actor: str | None) -> str | None:
        """End a session; its credential, None if this actor has no such one. Raises `Unavailable`."""
        ...
