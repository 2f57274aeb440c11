"""Everything that can happen to a webhook; the topics and fields are stored for good.

The URL and the texts are sealed under the webhook's own key, because the path of a URL is often a
password. The deletion of the webhook destroys that key.
"""

from typing import ClassVar, Final, Literal, get_args
from uuid import UUID

from msgspec import Struct

from domain.event import Erased, Event

PersonalAccess = Literal["open", "sealed"]
"""Whether an endpoint gets the personal fields of events, or null for each of them."""

DisabledReason = Literal["endpoint-gone", "no-success"]
"""`endpoint-gone`: it answered 410. `no-success`: it accepted nothing for a day."""


class WebhookCreated(Event, frozen=True):
    """`after` is the position after which deliveries begin; None: after this event."""

    topic: ClassVar[str] = "webhook.created"

    url: str | Erased
    types: tuple[str, ...]
    user: UUID | None = None
    personal_data: PersonalAccess = "sealed"
    description: str | Erased | None = None
    after: int | None = None


class PreviousUrl(Struct, frozen=True):
    url: str


class WebhookUrlChanged(Event, frozen=True):
    topic: ClassVar[str] = "webhook.url_changed"

    url: str | Erased
    previous: PreviousUrl | Erased


class PreviousTypes(Struct, frozen=True):
    types: tuple[str, ...]


class WebhookTypesChanged(Event, frozen=True):
    topic: ClassVar[str] = "webhook.types_changed"

    types: tuple[str, ...]
    previous: PreviousTypes


class PreviousUser(Struct, frozen=True):
    user: UUID | None


class WebhookUserChanged(Event, frozen=True):
    """`user` is the only user whose events are delivered; None: those of all users."""

    topic: ClassVar[str] = "webhook.user_changed"

    user: UUID | None
    previous: PreviousUser


class PreviousPersonalData(Struct, frozen=True):
    personal_data: PersonalAccess


class WebhookPersonalDataChanged(Event, frozen=True):
    topic: ClassVar[str] = "webhook.personal_data_changed"

    personal_data: PersonalAccess
    previous: PreviousPersonalData


class PreviousDescription(Struct, frozen=True):
    description: str | None


class WebhookDescriptionChanged(Event, frozen=True):
    topic: ClassVar[str] = "webhook.description_changed"

    description: str | Erased | None
    previous: PreviousDescription | Erased


class WebhookSecretRotated(Event, frozen=True):
    """The new secret follows from the version of this event; no event has a secret.

    `request` is the id of the request: one that is carried out twice after a crash rotates once.
    """

    topic: ClassVar[str] = "webhook.secret_rotated"

    request: UUID


class WebhookPaused(Event, frozen=True):
    topic: ClassVar[str] = "webhook.paused"

    reason: str | Erased | None = None


class PreviousStatus(Struct, frozen=True):
    status: Literal["paused", "disabled"]


class WebhookResumed(Event, frozen=True):
    topic: ClassVar[str] = "webhook.resumed"

    previous: PreviousStatus


class WebhookDisabled(Event, frozen=True):
    """Rollbook gave the endpoint up; `reason` is a code."""

    topic: ClassVar[str] = "webhook.disabled"

    reason: DisabledReason


class WebhookReplayed(Event, frozen=True):
    """Deliveries go back to `after`, exclusive.

    After `until`, inclusive, they go on where they were before. None: they go on to the head.
    `request` is as in `WebhookSecretRotated`.
    """

    topic: ClassVar[str] = "webhook.replayed"

    after: int
    request: UUID
    until: int | None = None


class WebhookDeleted(Event, frozen=True):
    """The same transaction deletes the webhook's data key."""

    topic: ClassVar[str] = "webhook.deleted"
    is_terminal: ClassVar[bool] = True


WebhookFieldChanged = (
    WebhookUrlChanged
    | WebhookTypesChanged
    | WebhookUserChanged
    | WebhookPersonalDataChanged
    | WebhookDescriptionChanged
)
"""Sets one field: the event has the new value under the field's name, then `previous`."""

WebhookEvent = (
    WebhookCreated
    | WebhookFieldChanged
    | WebhookSecretRotated
    | WebhookPaused
    | WebhookResumed
    | WebhookDisabled
    | WebhookReplayed
    | WebhookDeleted
)

WEBHOOK_EVENTS: Final[tuple[type[WebhookEvent], ...]] = get_args(WebhookEvent)
