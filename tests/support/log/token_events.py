"""An example of each event of a token, under the name of its golden file."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from domain.event import Event
from domain.token.events import TokenFirstUsed, TokenIssued, TokenRevoked, TokenRotated

TOKEN_EXAMPLES: Final[dict[str, Event]] = {
    "token.issued.v1": TokenIssued(
        name="crm",
        permissions=("events:read", "users:read"),
        expires_at=datetime(2027, 3, 1, 9, 30, tzinfo=UTC),
    ),
    "token.first_used.v1": TokenFirstUsed(),
    "token.rotated.v1": TokenRotated(
        request=UUID("01890a5d-ac98-7000-8000-000000000001"),
        former_expires_at=datetime(2026, 12, 1, 10, 30, 0, 250_000, tzinfo=UTC),
    ),
    "token.revoked.v1": TokenRevoked(),
}
