"""Loads webhooks from the log: a bounded number of events, thanks to snapshots."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct
from structlog import get_logger

from application.context import Context
from application.errors import ApplicationError
from application.log.event_log import Draft, EventLog, StreamKey, StreamRange, type_of
from application.log.sealed import Sealed
from application.webhooks.snapshots import SNAPSHOT_EVERY, SNAPSHOT_FORMAT, snapshot_of, state_of
from application.webhooks.states import WebhookAt, folded
from domain.errors import WebhookNotFound
from domain.event import ERASED, Event, Recorded
from domain.webhook.events import WebhookDeleted
from domain.webhook.state import Webhook

KIND: Final = "webhook"
_LAST: Final = StreamRange(last_unopened=True)
_NEAREST: Final = StreamRange(snapshot_format=SNAPSHOT_FORMAT)
_STORE_SECONDS: Final = 0.3
_STORING: Final = Context(actor="system:snapshots", correlation_id="snapshots")

log = get_logger(__name__)


class LoadedWebhook(Struct, frozen=True):
    """A webhook that is not deleted, and its sealing key."""

    state: WebhookAt
    key: StreamKey | None


class LastEvent(Struct, frozen=True):
    """What the deletion of a webhook depends on: nothing sealed, so its key may be lost."""

    config: Webhook | None
    version: int = 0
    position: int = 0


class WebhookHistory:
    """Folds from the nearest snapshot. A load that folds many events stores one."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def load(self, webhook_id: UUID) -> LoadedWebhook:
        """The webhook as it is now. Raises `WebhookNotFound`, also if it is deleted."""
        loaded = await self._log.load(webhook_id, _NEAREST)
        begin = state_of(loaded.snapshot) if loaded.snapshot is not None else None
        if begin is None and loaded.snapshot is not None:
            log.warning("snapshot_unusable", stream=str(webhook_id))
            loaded = await self._log.load(webhook_id)
        state = _living(loaded.events, begin)
        if len(loaded.events) >= SNAPSHOT_EVERY:
            await self._store(state, loaded.key)
        return LoadedWebhook(state, loaded.key)

    async def last_event(self, webhook_id: UUID) -> LastEvent:
        """The last event of a webhook, without opening anything."""
        events = (await self._log.load(webhook_id, _LAST)).events
        if not events or events[-1].kind != KIND:
            return LastEvent(None)
        last = events[-1]
        topic = last.event.type if isinstance(last.event, Sealed) else type_of(last.event)
        config = Webhook(
            url=ERASED,
            types=(),
            user=None,
            personal_data="sealed",
            description=ERASED,
            status="deleted" if topic == WebhookDeleted.topic else "active",
        )
        return LastEvent(config, last.version, last.position)

    async def _store(self, state: WebhookAt, key: StreamKey | None) -> None:
        """Store a snapshot: nothing depends on whether that works."""
        draft = Draft(
            kind=KIND,
            stream=state.id,
            after_version=state.version,
            events=(),
            context=_STORING,
            key=key,
            snapshot=snapshot_of(state),
        )
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._log.append(draft)
        except (ApplicationError, TimeoutError) as error:
            log.warning("snapshot_not_stored", error=type(error).__name__)


def _living(events: Sequence[Recorded[Event]], begin: WebhookAt | None) -> WebhookAt:
    """The webhook of a stream. Raises `WebhookNotFound` also for a stream of another kind.

    Of a deleted one the log may return the deletion alone.
    """
    is_webhook = not events or events[0].kind == KIND
    is_deleted = bool(events) and isinstance(events[-1].event, WebhookDeleted)
    state = folded(events, begin) if is_webhook and not is_deleted else None
    if state is None:
        raise WebhookNotFound
    return state
