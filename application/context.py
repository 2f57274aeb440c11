"""The context of a command: actor, party it acts for, correlation and idempotency key."""

from typing import Final
from uuid import UUID

from msgspec import Struct

# The only tenant; in every stored row from the start, because it cannot be added later.
TENANT: Final = "main"


class IdempotencyKey(Struct, frozen=True):
    """The caller's key and a digest of the request it was sent with (method, route and body)."""

    key: str
    fingerprint: bytes


class Context(Struct, frozen=True, kw_only=True):
    actor: str
    correlation_id: str
    on_behalf_of: str | None = None
    causation_id: UUID | None = None
    idempotency: IdempotencyKey | None = None
