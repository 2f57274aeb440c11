"""What the log records about reading the data of many people; nothing in it is personal.

Each of these events is the only one of its stream. No state follows from it.
"""

from typing import Any, ClassVar, Final, Literal, get_args
from uuid import UUID

from domain.event import Event

Opened = Literal["users", "events", "stream", "audit"]
"""What was read: `GET /v1/users`, `GET /v1/events`, `WS /v1/stream` or `GET /v1/audit`."""

PresentedKind = Literal["token", "session", "oidc"]
"""What the caller presented: a token, the cookie of a session, or a JWT of an OIDC issuer."""


class AccessExported(Event, frozen=True):
    """The actor requested an export; `export` is the id of its job.

    `filters` has null for each filter that may name a person.
    """

    topic: ClassVar[str] = "access.exported"

    export: UUID
    what: Literal["users", "audit"]
    format: Literal["csv", "ndjson"]
    filters: dict[str, Any]


class AccessOpened(Event, frozen=True):
    """The actor read personal data of many people: the first time within an hour (UTC)."""

    topic: ClassVar[str] = "access.opened"

    what: Opened
    presented: PresentedKind


AccessEvent = AccessExported | AccessOpened

ACCESS_EVENTS: Final[tuple[type[AccessEvent], ...]] = get_args(AccessEvent)
