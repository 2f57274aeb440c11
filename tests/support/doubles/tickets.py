"""In-memory tickets for tests; they pass the same contract suite as the real ones."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from application.identity import Principal
from application.live.tickets import TICKET_SECONDS, Ticket


class InMemoryTickets:
    """See `Tickets`."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._issued: dict[str, tuple[Principal, datetime]] = {}

    async def issue(self, principal: Principal) -> Ticket:
        ticket = Ticket(secrets.token_urlsafe(), self._now() + timedelta(seconds=TICKET_SECONDS))
        self._issued[ticket.ticket] = (principal, ticket.expires_at)
        return ticket

    async def redeem(self, ticket: str) -> Principal | None:
        principal, expires_at = self._issued.pop(ticket, (None, self._now()))
        return principal if self._now() < expires_at else None
