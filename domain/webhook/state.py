"""What a webhook is, folded from events by assignment alone."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.event import ERASED, Erased, changed_field
from domain.webhook.events import (
    PersonalAccess,
    WebhookCreated,
    WebhookDeleted,
    WebhookDescriptionChanged,
    WebhookDisabled,
    WebhookEvent,
    WebhookPaused,
    WebhookPersonalDataChanged,
    WebhookReplayed,
    WebhookResumed,
    WebhookSecretRotated,
    WebhookTypesChanged,
    WebhookUrlChanged,
    WebhookUserChanged,
)

Status = Literal["active", "paused", "disabled", "deleted"]


class Webhook(Struct, frozen=True, kw_only=True):
    """`reason` says why the webhook is paused (a text) or disabled (a code).

    `rotated` and `replayed` are the ids of the last requests for a new secret and for a replay.
    """

    url: str | Erased
    types: tuple[str, ...]
    user: UUID | None
    personal_data: PersonalAccess
    description: str | Erased | None
    status: Status = "active"
    reason: str | Erased | None = None
    rotated: UUID | None = None
    replayed: UUID | None = None


def fold(events: Iterable[WebhookEvent]) -> Webhook | None:
    """The webhook after all events; None if there are none."""
    webhook = None
    for event in events:
        webhook = evolve(webhook, event)
    return webhook


def evolve(webhook: Webhook | None, event: WebhookEvent) -> Webhook:
    """The webhook after the event; never fails on a history that `decide` made.

    Raises `ValueError` if a history does not begin with `webhook.created`.
    """
    if isinstance(event, WebhookCreated):
        return Webhook(
            url=event.url,
            types=event.types,
            user=event.user,
            personal_data=event.personal_data,
            description=event.description,
        )
    if webhook is None:
        raise ValueError("the history of a webhook begins with webhook.created")
    return replace(webhook, **_changes(event))


def _changes(event: WebhookEvent) -> Mapping[str, Any]:
    match event:
        case (
            WebhookUrlChanged()
            | WebhookTypesChanged()
            | WebhookUserChanged()
            | WebhookPersonalDataChanged()
            | WebhookDescriptionChanged()
        ):
            name = changed_field(type(event))
            return {name: getattr(event, name)}
        case WebhookSecretRotated():
            return {"rotated": event.request}
        case WebhookReplayed():
            return {"replayed": event.request}
        case WebhookPaused():
            return {"status": "paused", "reason": event.reason}
        case WebhookDisabled():
            return {"status": "disabled", "reason": event.reason}
        case WebhookResumed():
            return {"status": "active", "reason": None}
        case WebhookDeleted():
            return {"status": "deleted", "reason": None, "url": ERASED, "description": ERASED}
        case WebhookCreated():
            raise ValueError("a webhook is created once")
        case _:
            assert_never(event)
