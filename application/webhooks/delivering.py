"""Delivers the events of one webhook, in the one worker that leads it."""

import asyncio
from contextlib import suppress
from typing import Final, cast

from structlog import get_logger

from application.doorbell import LOG
from application.errors import Unavailable
from application.retry import BackOff, raise_if_cancelled
from application.webhooks.delivery_ledger import Begun, DeliveryProgress
from application.webhooks.delivery_ports import Answer, Endpoint, ParkedUser
from application.webhooks.delivery_queue import DeliveryQueue
from application.webhooks.endpoint_state import EndpointState
from application.webhooks.health import IN_FLIGHT, parked_delay
from application.webhooks.parked_tries import ParkedTries
from application.webhooks.reading import EventReader
from application.webhooks.requests import DeliveryTools, Requests, code_of
from application.webhooks.states import WebhookAt
from application.webhooks.unsaved import SAVE_SECONDS, Unsaved
from domain.event import Event, Recorded
from domain.webhook.events import DisabledReason

# The longest delay after a missed wake-up, or a change of the clock.
_POLL_SECONDS: Final = 1.0
# The next page is read while so many events wait.
_LOW: Final = 2 * IN_FLIGHT
_PROBE_PAGE: Final = 100
# When the process ends, so long for the deliveries in flight, and again for the last save.
_LAST_SECONDS: Final = 1.0

log = get_logger(__name__)


class WebhookDelivery:
    """The deliveries of one version of a webhook, until it changes or its endpoint is given up."""

    def __init__(
        self,
        webhook: WebhookAt,
        begun: Begun,
        progress: DeliveryProgress,
        endpoint: Endpoint,
        tools: DeliveryTools,
    ) -> None:
        self._id = str(webhook.id)
        self._tools = tools
        self._progress = progress
        self._queue = DeliveryQueue(begun.checkpoint.position, begun.parked)
        self._reader = EventReader(webhook, begun.checkpoint, self._queue, tools.feed)
        self._requests = Requests(webhook, endpoint, tools)
        self._unsaved = Unsaved(progress, begun.checkpoint, begun.health)
        self._state = EndpointState(self._id, begun.health, tools)
        self._tries = ParkedTries(
            self._state, self._reader, self._queue, self._unsaved, self._requests, tools
        )
        self._tasks = asyncio.TaskGroup()
        self._news = asyncio.Event()
        # How often each event failed that waits for another try.
        self._failed: dict[int, int] = {}

    async def run(self, changed: asyncio.Event) -> DisabledReason | None:
        """Deliver until `changed` is set, or until the endpoint is given up: then why.

        Deliveries in flight are waited for. Raises `NotLeading`.
        """
        try:
            async with self._tasks:
                loops = [
                    self._tasks.create_task(self._read()),
                    self._tasks.create_task(
                        self._tries.run(self._progress, self._wake, self._tasks)
                    ),
                    self._tasks.create_task(self._end_when(changed)),
                ]
                saves = self._tasks.create_task(self._save_regularly())
                try:
                    await self._state.ending.wait()
                except asyncio.CancelledError:
                    self._state.ending.set()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LAST_SECONDS):
                            await self._landed()
                    raise
                await self._landed()
                for loop in loops:
                    loop.cancel()
                # It is not cancelled, because an interrupted save may have been carried out.
                self._unsaved.full.set()
                await saves
        except asyncio.CancelledError:
            # The process ends: what was delivered need not be delivered again.
            with suppress(Exception):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self._unsaved.save_interrupted()
                    await self._save()
            raise
        except ExceptionGroup as group:
            raise cast("Exception", group.exceptions[0]) from group
        await self._save()
        return self._state.given_up

    async def _landed(self) -> None:
        """Wait until no delivery is in flight."""
        while self._queue.in_flight or self._tries.running:
            self._news.clear()
            await self._news.wait()

    async def _end_when(self, changed: asyncio.Event) -> None:
        await changed.wait()
        self._state.ending.set()

    async def _read(self) -> None:
        back_off = BackOff(f"webhook {self._id}")
        async with self._tools.doorbell.listen(LOG) as bell:
            while not self._state.ending.is_set():
                raise_if_cancelled()
                try:
                    if self._state.health.is_down:
                        await self._probe()
                    elif self._queue.waiting >= _LOW:
                        self._news.clear()
                        await self._news.wait()
                    elif not await self._read_page():
                        await bell.wait(_POLL_SECONDS)
                        await self._tools.pace.wait()
                except Unavailable as error:
                    await back_off.wait(error)
                else:
                    back_off.reset()

    async def _read_page(self) -> bool:
        limit = self._reader.next_page()
        is_more = await self._reader.read(limit, lambda: not self._state.health.is_down)
        self._send()
        return is_more

    async def _probe(self) -> None:
        """Wait until the endpoint that is down may be tried again, then try one delivery.

        What waits is read again for each probe, so that no personal data stays in memory.
        """
        await self._landed()
        seconds = self._state.seconds_to_wait()
        if seconds is None:
            return
        self._queue.clear()
        if seconds > 0:
            await asyncio.sleep(min(seconds, _POLL_SECONDS))
            return
        while not self._queue.ready:
            if not await self._reader.read(_PROBE_PAGE):
                self._state.nothing_waits()
                return
        # Each probe is for the next user: the events of one may be the reason.
        users = self._queue.ready
        is_alone = len(users) == 1 and self._queue.waiting >= _PROBE_PAGE
        recorded = self._queue.next(users[self._state.health.probes % len(users)])
        if recorded is not None:
            await self._deliver(recorded, is_probe=True, is_alone=is_alone)

    def _send(self) -> None:
        """Begin as many deliveries as may be in flight."""
        while self._state.is_sending and self._queue.in_flight + self._tries.running < IN_FLIGHT:
            recorded = self._queue.next()
            if recorded is None:
                return
            self._tasks.create_task(self._deliver(recorded))

    async def _deliver(
        self, recorded: Recorded[Event], *, is_probe: bool = False, is_alone: bool = False
    ) -> None:
        answer = await self._requests.send(recorded)
        tries = self._failed.pop(recorded.position, 0) + 1
        self._unsaved.note(recorded, answer, self._tools.clock(), tries)
        verdict = self._state.answered(
            recorded.stream,
            answer,
            parked=len(self._queue.parked),
            is_probe=is_probe,
            is_alone=is_alone,
        )
        if answer.is_success:
            self._queue.delivered(recorded)
        elif verdict == "park":
            self._park(recorded, answer)
        else:
            self._queue.failed(recorded)
            self._failed[recorded.position] = tries
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._send()

    def _park(self, recorded: Recorded[Event], answer: Answer) -> None:
        if not self._queue.parked:
            self._tasks.create_task(self._notify_parked())
        self._queue.park(recorded)
        now = self._tools.clock()
        delay = parked_delay(1, self._tools.chance())
        self._unsaved.park(
            ParkedUser(
                user=recorded.stream,
                position=recorded.position,
                tries=1,
                error=code_of(answer),
                parked_at=now,
                next_attempt_at=None if delay is None else now + delay,
            )
        )
        log.warning(
            "webhook_user_parked",
            webhook=self._id,
            user=str(recorded.stream),
            position=recorded.position,
            error=code_of(answer),
        )

    async def _notify_parked(self) -> None:
        message = f"Webhook {self._id}: deliveries for a user fail and wait"
        with suppress(Unavailable):  # the list of parked users shows it, too
            await self._tools.notifier.notify("warning", message, f"/v1/webhooks/{self._id}/parked")

    async def _save_regularly(self) -> None:
        while not self._state.ending.is_set() or self._queue.in_flight or self._tries.running:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_SECONDS):
                    await self._unsaved.full.wait()
            self._unsaved.full.clear()
            await self._save()

    async def _save(self) -> None:
        await self._unsaved.save(self._reader.checkpoint, self._state.health)
