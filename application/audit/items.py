"""Audit items: the actor, the time and the changes of each event."""

from collections.abc import Mapping
from typing import Any, Literal, cast
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import asdict

from application.audit.tokens import token_changes
from application.audit.webhooks import webhook_changes
from application.log.envelope import Personal, personal_of
from application.log.event_log import Unreadable, type_of
from application.timestamps import Timestamp, timestamp
from domain.access.events import AccessEvent
from domain.event import ERASED, Event, Recorded, changed_field
from domain.token.events import TokenEvent
from domain.user.events import (
    UserAttributesChanged,
    UserDeleted,
    UserErased,
    UserEvent,
    UserRegistered,
    UserReinstated,
    UserRestored,
    UserSuspended,
)
from domain.user.state import PERSONAL, Status
from domain.webhook.events import WebhookEvent

KnownEvent = UserEvent | WebhookEvent | TokenEvent | AccessEvent


class Change(Struct, frozen=True):
    """A field before and after; both are null if the values are hidden or erased.

    `attributes` has only the keys that changed; an absent key did not exist.
    """

    before: Any = field(name="from")
    after: Any = field(name="to")


class StatusBefore(Struct, frozen=True):
    """A user's status before an event; `before_deletion` is the one that a restoration gives back."""

    status: Status = "active"
    before_deletion: Literal["active", "suspended"] = "active"


class AuditItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event for an auditor; `personal` says why values are null, as in an envelope.

    `unreadable` says why the changes of an event cannot be read.
    """

    position: int
    event_id: UUID
    type: str
    subject: UUID
    version: int
    time: Timestamp
    actor: str
    on_behalf_of: str | None
    correlation_id: str
    causation_id: UUID | None
    changes: dict[str, Change]
    reason: str | None
    personal: Personal
    unreadable: str | UnsetType = UNSET


def audit_item(
    recorded: Recorded[Event], before: StatusBefore | None, *, opened: bool
) -> AuditItem:
    """The item of an event; `before` is needed where `needs_status` says so."""
    event = recorded.event
    personal = personal_of(recorded, opened=opened)
    changes: dict[str, Change] = {}
    reason = None
    if not isinstance(event, Unreadable):
        known = cast("KnownEvent", event)
        changes = _hidden(known, _changes(known, before), hide=personal != "open")
        reason = _reason(known, hide=personal != "open")
    return AuditItem(
        position=recorded.position,
        event_id=recorded.event_id,
        type=type_of(event),
        subject=recorded.stream,
        version=recorded.version,
        time=timestamp(recorded.recorded_at),
        actor=recorded.actor,
        on_behalf_of=recorded.on_behalf_of,
        correlation_id=recorded.correlation_id,
        causation_id=recorded.causation_id,
        changes=changes,
        reason=reason,
        personal=personal,
        unreadable=event.reason if isinstance(event, Unreadable) else UNSET,
    )


def needs_status(event: Event) -> bool:
    """Whether the status before the event does not follow from the event alone."""
    return isinstance(event, UserDeleted | UserRestored | UserErased)


def _changes(event: KnownEvent, before: StatusBefore | None) -> Mapping[str, Change]:
    if isinstance(event, AccessEvent):
        return {name: Change(None, value) for name, value in asdict(event).items()}
    if isinstance(event, WebhookEvent):
        return {name: Change(*values) for name, values in webhook_changes(event).items()}
    if isinstance(event, TokenEvent):
        return {name: Change(*values) for name, values in token_changes(event).items()}
    match event:
        case UserRegistered():
            made = {**asdict(event), "status": "active"}
            return {name: Change(None, value) for name, value in made.items()}
        case UserAttributesChanged():
            return {"attributes": Change(event.previous, event.set)}
        case UserSuspended():
            return {"status": Change("active", "suspended")}
        case UserReinstated():
            return {"status": Change("suspended", "active")}
        case UserDeleted():
            return {"status": Change(before and before.status, "deleted")}
        case UserRestored():
            return {"status": Change("deleted", before and before.before_deletion)}
        case UserErased():
            return {"status": Change(before and before.status, "erased")}
        case _:
            name = changed_field(type(event))
            return {name: Change(getattr(event.previous, name, ERASED), getattr(event, name))}


def _hidden(event: Event, changes: Mapping[str, Change], *, hide: bool) -> dict[str, Change]:
    hidden = PERSONAL | event.personal if hide else frozenset[str]()
    return {
        name: Change(None, None) if name in hidden else change for name, change in changes.items()
    }


def _reason(event: Event, *, hide: bool) -> str | None:
    if hide and "reason" in event.personal:
        return None
    return cast("str | None", getattr(event, "reason", None))
