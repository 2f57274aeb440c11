"""The port to tickets: one-time passes to the stream, for clients that cannot send a header."""

from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from application.identity import Principal

TICKET_SECONDS: Final = 30


class Ticket(Struct, frozen=True):
    """`repr` leaves the ticket out."""

    ticket: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Ticket(expires_at={self.expires_at!r})"


class Tickets(Protocol):
    """A ticket stands for its principal, once, within `TICKET_SECONDS`."""

    async def issue(self, principal: Principal) -> Ticket:
        """A new ticket. Raises `Unavailable`."""
        ...

    async def redeem(self, ticket: str) -> Principal | None:
        """The principal of a ticket; None if unknown, expired or used. Raises `Unavailable`.

        It is as it was at the moment of issue: whether its credential is still valid is for
        `Callers` to say.
        """
        ...
