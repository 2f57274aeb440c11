"""Answers about webhooks, for administrators; a secret is in the answer that made it only."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict

from application.timestamps import Timestamp, timestamp
from application.webhooks import delivery_ports as deliveries
from application.webhooks.states import WebhookAt
from domain.event import Erased
from domain.webhook.events import PersonalAccess

Status = Literal["active", "failing", "paused", "disabled"]


class WebhookOpenedBy(Struct, frozen=True, kw_only=True):
    """The actor that let the endpoint get personal data."""

    actor: str
    time: Timestamp


class WebhookSecretVersion(Struct, frozen=True, kw_only=True):
    """A secret that signs now; `expires_at` is null for the current one."""

    version: int
    expires_at: Timestamp | None


class Webhook(Struct, frozen=True, kw_only=True):
    """A webhook, and how far its deliveries are.

    `status` is `failing` while the endpoint counts as down: Rollbook tries again at
    `next_attempt_at`. `reason` says why the webhook is paused (a text) or disabled (a code). `lag`
    is the distance of `position` to the head of the log. `parked` counts the users whose
    deliveries wait, up to 10,000. `url` is null if its key is lost.
    """

    id: UUID
    url: str | None
    types: Sequence[str]
    user: UUID | None
    personal: PersonalAccess
    opened_by: WebhookOpenedBy | None
    description: str | None
    status: Status
    reason: str | None
    position: int
    lag: int
    delivered: int
    failed: int
    parked: int
    last_success_at: Timestamp | None
    last_failure_at: Timestamp | None
    failing_since: Timestamp | None
    next_attempt_at: Timestamp | None
    created_at: Timestamp
    created_by: str
    updated_at: Timestamp
    version: int
    secrets: Sequence[WebhookSecretVersion]

    @classmethod
    def of(
        cls,
        webhook: WebhookAt,
        delivery: deliveries.DeliveryState | None,
        *,
        head: int,
        now: datetime,
        **more: Any,
    ) -> Self:
        """`delivery` is None if no worker has begun yet; `more` are the fields of a subclass."""
        config, opened_by = webhook.config, webhook.opened_by
        position = webhook.after if delivery is None else delivery.position
        times = {
            name: None if delivery is None else _time(getattr(delivery, name))
            for name in ("last_success_at", "last_failure_at", "failing_since", "next_attempt_at")
        }
        return cls(
            id=webhook.id,
            url=_text(config.url),
            types=config.types,
            user=config.user,
            personal=config.personal_data,
            opened_by=opened_by
            and WebhookOpenedBy(actor=opened_by.actor, time=timestamp(opened_by.at)),
            description=_text(config.description),
            status=_status(webhook, delivery),
            reason=_text(config.reason),
            position=position,
            lag=max(head - position, 0),
            delivered=0 if delivery is None else delivery.delivered,
            failed=0 if delivery is None else delivery.failed,
            parked=0 if delivery is None else delivery.parked,
            created_at=timestamp(webhook.created_at),
            created_by=webhook.created_by,
            updated_at=timestamp(webhook.updated_at),
            version=webhook.version,
            secrets=[
                WebhookSecretVersion(version=each.version, expires_at=_time(each.expires_at))
                for each in webhook.secrets(now)
            ],
            **times,
            **more,
        )


class WebhookWithSecret(Webhook, frozen=True, kw_only=True):
    """`secret` verifies deliveries. It is shown once: a repeat of the request has null."""

    secret: str | None


class WebhookList(Struct, frozen=True, kw_only=True):
    items: Sequence[Webhook]
    next_cursor: None
    position: int


class WebhookTest(Struct, frozen=True, kw_only=True):
    """What the endpoint said to a test delivery: its HTTP status, or why there is none."""

    message_id: UUID
    delivered: bool
    status: int | None
    error: str | None
    seconds: float

    @classmethod
    def of(cls, message_id: UUID, answer: deliveries.Answer) -> Self:
        return cls(
            message_id=message_id,
            delivered=answer.is_success,
            status=answer.status,
            error=answer.error,
            seconds=round(answer.seconds, 3),
        )


class WebhookAttempt(Struct, frozen=True, kw_only=True):
    """One request to an endpoint; `tries` is 1 for the first one with this event."""

    number: int
    event_id: UUID
    user: UUID
    position: int
    status: int | None
    error: str | None
    milliseconds: int
    at: Timestamp
    tries: int

    @classmethod
    def of(cls, attempt: deliveries.Attempt) -> Self:
        fields: dict[str, Any] = {**asdict(attempt), "at": timestamp(attempt.at)}
        return cls(**fields)


class WebhookAttemptList(Struct, frozen=True, kw_only=True):
    items: Sequence[WebhookAttempt]
    next_cursor: str | None
    position: int


class WebhookParkedUser(Struct, frozen=True, kw_only=True):
    """A user whose deliveries wait; `position` is that of the first event not delivered.

    `next_attempt_at` is null if Rollbook tries no more until someone retries.
    """

    user: UUID
    position: int
    tries: int
    error: str
    parked_at: Timestamp
    next_attempt_at: Timestamp | None

    @classmethod
    def of(cls, parked: deliveries.ParkedUser) -> Self:
        fields: dict[str, Any] = {
            **asdict(parked),
            "parked_at": timestamp(parked.parked_at),
            "next_attempt_at": _time(parked.next_attempt_at),
        }
        return cls(**fields)


class WebhookParkedList(Struct, frozen=True, kw_only=True):
    items: Sequence[WebhookParkedUser]
    next_cursor: str | None
    position: int


class WebhookRetry(Struct, frozen=True, kw_only=True):
    """A worker tries this user at once, and for another day."""

    webhook: UUID
    user: UUID


def _status(webhook: WebhookAt, delivery: deliveries.DeliveryState | None) -> Status:
    status = webhook.config.status
    if status in ("paused", "disabled"):
        return status
    is_down = delivery is not None and delivery.next_attempt_at is not None
    return "failing" if is_down else "active"


def _text(value: str | Erased | None) -> str | None:
    return None if isinstance(value, Erased) else value


def _time(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else timestamp(moment)
