"""Tries the parked users of a webhook again, and unparks each one that has caught up."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from msgspec.structs import replace
from structlog import get_logger

from application.errors import Unavailable
from application.failures import describe
from application.retry import BackOff
from application.webhooks.delivery_ledger import DeliveryProgress
from application.webhooks.delivery_ports import Answer, ParkedUser
from application.webhooks.delivery_queue import DeliveryQueue
from application.webhooks.endpoint_state import EndpointState
from application.webhooks.health import parked_delay
from application.webhooks.reading import EventReader
from application.webhooks.requests import DeliveryTools, Requests, code_of
from application.webhooks.unsaved import Unsaved
from domain.event import Event, Recorded

MAX_TRIED: Final = 2
"""Parked users that are tried at the same time: a small part of the deliveries in flight."""
_POLL_SECONDS: Final = 1.0
_PAGE: Final = 16
# A user who has caught up in a replay stays parked until its end.
_REPLAY_SECONDS: Final = 5.0

log = get_logger(__name__)


class ParkedTries:
    """Reads a parked user's events from the log, after the last one that was delivered."""

    def __init__(
        self,
        state: EndpointState,
        reader: EventReader,
        queue: DeliveryQueue,
        unsaved: Unsaved,
        requests: Requests,
        tools: DeliveryTools,
    ) -> None:
        self._state = state
        self._reader = reader
        self._queue = queue
        self._unsaved = unsaved
        self._requests = requests
        self._tools = tools
        self._running: set[UUID] = set()
        self._ended = asyncio.Event()

    @property
    def running(self) -> int:
        return len(self._running)

    async def run(
        self, progress: DeliveryProgress, on_end: Callable[[], None], tasks: asyncio.TaskGroup
    ) -> None:
        """Try the users that are due, for ever; `on_end` is called after each of them."""

        async def run_one(parked: ParkedUser) -> None:
            try:
                await self._try(parked)
            except Unavailable as error:
                # The stored row is still due, or what was delivered since is saved.
                log.warning("webhook_try_interrupted", error=describe(error))
            finally:
                self._running.discard(parked.user)
                self._ended.set()
                on_end()

        back_off = BackOff("webhook parked users")
        while True:
            try:
                for parked in await self._due(progress):
                    self._running.add(parked.user)
                    tasks.create_task(run_one(parked))
            except Unavailable as error:
                await back_off.wait(error)
                continue
            back_off.reset()
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._ended.wait()
                self._ended.clear()
            except TimeoutError:
                continue

    async def _due(self, progress: DeliveryProgress) -> Sequence[ParkedUser]:
        free = MAX_TRIED - len(self._running)
        if not free or not self._queue.parked or not self._state.is_sending:
            return ()
        without = {*self._running, *self._unsaved.users}
        due = await progress.due(self._tools.clock(), free, without)
        return due if self._state.is_sending else ()

    async def _try(self, parked: ParkedUser) -> None:
        """Deliver the user's events in order, up to the position to which the webhook has read."""
        wanted = replace(self._reader.wanted, user=parked.user)
        after = parked.position - 1
        while self._state.is_sending:
            page = await self._reader.search(after, wanted, _PAGE)
            for recorded in page.events:
                if recorded.position > self._queue.read_to:
                    break
                if not self._state.is_sending:
                    return
                answer = await self._requests.send(recorded)
                now = self._tools.clock()
                self._unsaved.note(recorded, answer, now, parked.tries + 1)
                if not answer.is_success:
                    self._park_again(parked, recorded, answer)
                    self._state.answered_for_parked(parked.user, answer)
                    return
                self._queue.note_delivered(recorded.position)
                self._state.answered_for_parked(parked.user, answer)
                parked = replace(parked, position=recorded.position + 1, tries=0)
                self._unsaved.park(parked)
            else:
                after = page.reached
                if after < self._queue.read_to:
                    continue
            self._caught_up(parked)
            return

    def _caught_up(self, parked: ParkedUser) -> None:
        # Nothing is awaited since the comparison with `read_to`, so the queue takes each later event.
        if self._reader.is_in_replay:
            # Its end would skip the later events of the user that were not delivered.
            next_attempt_at = self._tools.clock() + timedelta(seconds=_REPLAY_SECONDS)
            self._unsaved.park(replace(parked, next_attempt_at=next_attempt_at))
        else:
            self._queue.unpark(parked.user)
            self._unsaved.unpark(parked.user)

    def _park_again(self, parked: ParkedUser, recorded: Recorded[Event], answer: Answer) -> None:
        tries = parked.tries + 1
        delay = parked_delay(tries, self._tools.chance())
        if delay is None:
            log.warning("webhook_user_given_up", user=str(parked.user), tries=tries)
            self._state.user_given_up(parked.parked_at)
        self._unsaved.park(
            replace(
                parked,
                position=recorded.position,
                tries=tries,
                error=code_of(answer),
                next_attempt_at=None if delay is None else self._tools.clock() + delay,
            )
        )
