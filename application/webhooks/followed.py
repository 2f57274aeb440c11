"""The part of one webhook in a worker: it waits for the lead, delivers, and follows changes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from structlog import get_logger

from application.log.follower import NotLeading
from application.retry import BackOff, raise_if_cancelled
from application.webhooks.delivering import WebhookDelivery
from application.webhooks.delivery_ledger import (
    Begun,
    Checkpoint,
    DeliveryLedger,
    DeliveryProgress,
)
from application.webhooks.delivery_ports import WebhookSender
from application.webhooks.health import renewed
from application.webhooks.ports import WebhookDirectory
from application.webhooks.requests import DeliveryTools
from application.webhooks.states import WebhookAt
from domain.webhook.events import DisabledReason

_DISABLED_SECONDS: Final = 10.0

Disable = Callable[[WebhookAt, DisabledReason], Awaitable[None]]
"""Records that Rollbook gave an endpoint up, unless the webhook has changed meanwhile."""

log = get_logger(__name__)


class WebhookTools(Struct, frozen=True, kw_only=True):
    """What following webhooks needs, beside what deliveries need."""

    directory: WebhookDirectory
    ledger: DeliveryLedger
    sender: WebhookSender
    disable: Disable
    deliveries: DeliveryTools


class Followed:
    """One active webhook, and the task that delivers to it once this worker leads it."""

    def __init__(self, state: WebhookAt, tools: WebhookTools, tasks: asyncio.TaskGroup) -> None:
        self._state: WebhookAt | None = state
        self._id = state.id
        self._tools = tools
        self._changed = asyncio.Event()
        self._leads = False
        self._task = tasks.create_task(self._follow(), name=f"webhook {state.id}")

    @property
    def is_running(self) -> bool:
        return not self._task.done()

    @property
    def leads(self) -> bool:
        return self._leads and self._state is not None

    def change(self, state: WebhookAt) -> None:
        """Deliver as this version says, after the deliveries in flight."""
        self._state = state
        self._changed.set()

    def end(self) -> None:
        """Deliver no more, and let another worker lead, after the deliveries in flight."""
        self._state = None
        self._changed.set()
        if not self._leads:
            self._task.cancel()

    async def _follow(self) -> None:
        back_off = BackOff(f"webhook {self._id}")
        while self._state is not None:
            raise_if_cancelled()
            try:
                async with self._tools.ledger.lead(self._id) as progress:
                    self._leads = True
                    log.info("webhook_led", webhook=str(self._id))
                    await self._deliver(progress, back_off)
            except NotLeading:
                log.info("webhook_lost_lead", webhook=str(self._id))
            except Exception as error:
                raise_if_cancelled()
                await back_off.wait(error)
            finally:
                self._leads = False

    async def _deliver(self, progress: DeliveryProgress, back_off: BackOff) -> None:
        while (state := self._state) is not None:
            self._changed.clear()
            begun = await put_in_effect(state, progress)
            back_off.reset()
            async with self._tools.sender.open(str(state.config.url)) as endpoint:
                delivery = WebhookDelivery(state, begun, progress, endpoint, self._tools.deliveries)
                given_up = await delivery.run(self._changed)
            if given_up is not None:
                await self._tools.disable(state, given_up)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_DISABLED_SECONDS):
                        await self._changed.wait()


async def put_in_effect(webhook: WebhookAt, progress: DeliveryProgress) -> Begun:
    """The stored progress, moved by a replay that was not carried out yet.

    After any change of the webhook its endpoint and its parked users are tried at once. Raises
    `Unavailable` and `NotLeading`.
    """
    begun = await progress.begin(webhook.after)
    stored, replay = begun.checkpoint, webhook.replay
    if stored.version == webhook.version:
        return begun
    checkpoint, replay_after = replace(stored, version=webhook.version), None
    if replay is not None and replay.version > stored.replayed:
        before = max(stored.position, stored.resume_at or 0)
        is_ended = replay.until is not None and replay.until < before
        replay_after = replay.after
        checkpoint = Checkpoint(
            position=replay.after,
            version=webhook.version,
            replayed=replay.version,
            resume_at=before if is_ended else None,
        )
        log.info("webhook_replay_begins", webhook=str(webhook.id), position=replay.after)
    await progress.renew(checkpoint, replay_after)
    return replace(begun, checkpoint=checkpoint, health=renewed(begun.health))
