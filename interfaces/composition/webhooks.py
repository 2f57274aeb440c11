"""Builds the deliveries of webhooks, and what sends to the endpoints."""

import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from structlog import get_logger

from application.context import Context
from application.doorbell import Doorbell
from application.live.notifications import Notifier
from application.webhooks.followed import WebhookTools
from application.webhooks.following import run_webhooks
from application.webhooks.parts import Webhooks
from application.webhooks.reading import Pace
from application.webhooks.requests import DeliveryTools
from application.webhooks.service import WebhookService
from application.webhooks.states import WebhookAt
from domain.webhook.events import DisabledReason
from infrastructure.event_store.webhooks import PostgresWebhookDirectory
from infrastructure.webhooks.ledger import PostgresDeliveryLedger
from infrastructure.webhooks.records import PostgresDeliveryRecords
from infrastructure.webhooks.sender import HttpSender
from interfaces.composition.event_store import EventStore
from interfaces.settings import Settings

ACTOR: Final = "system:webhooks"

log = get_logger(__name__)


def webhook_sender(settings: Settings) -> HttpSender:
    """What sends to endpoints, and checks their URLs."""
    return HttpSender(allow_unsafe=settings.allow_unsafe_targets)


def webhook_directory(store: EventStore) -> PostgresWebhookDirectory:
    """The webhooks in the log."""
    return PostgresWebhookDirectory(store.database, store.mapper, store.keys)


def _now() -> datetime:
    return datetime.now(UTC)


def deliver_webhooks(
    store: EventStore,
    doorbell: Doorbell,
    notifier: Notifier,
    sender: HttpSender,
    clock: Callable[[], datetime] = _now,
) -> Coroutine[Any, Any, None]:
    """The task that delivers to the webhooks that this worker leads."""
    directory = webhook_directory(store)
    service = WebhookService(store.log, directory)

    async def disable(webhook: WebhookAt, reason: DisabledReason) -> None:
        context = Context(actor=ACTOR, correlation_id=f"webhook-{webhook.id}")
        if await service.disable(webhook.id, reason, context, seen=webhook.version):
            log.warning("webhook_disabled", webhook=str(webhook.id), reason=reason)
            message = f"Webhook {webhook.id} is disabled: {_TEXTS[reason]}"
            await notifier.notify("error", message, f"/v1/webhooks/{webhook.id}")

    return run_webhooks(
        WebhookTools(
            directory=directory,
            ledger=PostgresDeliveryLedger(store.database),
            sender=sender,
            disable=disable,
            deliveries=DeliveryTools(
                feed=store.feed,
                doorbell=doorbell,
                secrets=store.keys,
                notifier=notifier,
                log_id=store.identity.id,
                pace=Pace(),
                clock=clock,
                chance=random.random,
            ),
        )
    )


_TEXTS: Final = {
    "endpoint-gone": "its endpoint answered 410",
    "no-success": "its endpoint accepted nothing for a day",
}


def managed_webhooks(store: EventStore, settings: Settings) -> Webhooks:
    """What the HTTP interface needs to manage webhooks."""
    sender, records = webhook_sender(settings), PostgresDeliveryRecords(store.database)
    return Webhooks(
        commands=WebhookService(store.log, store.webhooks),
        secrets=store.keys,
        targets=sender,
        sender=sender,
        records=records,
        parked=records,
    )
