"""The newest event that the relay published wakes this process, in place of LISTEN.

The process reads what it handles from the log. So a delivery that is lost or comes twice changes
nothing, and one waiting message says all that many would.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelClosed
from structlog import get_logger

from application.retry import BackOff, raise_if_cancelled
from infrastructure.bus.connections import CONNECT_SECONDS, FAILURES, connected
from infrastructure.bus.topology import EXCHANGE, declare_topology

_NAME: Final = "rollbook newest event"
# The queue holds one message, the newest; with an unacknowledged one it is one more. A queue of another
# type would write each message to the disk.
_ARGUMENTS: Final = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "drop-head"}
# While the relay publishes thousands of events a second, a bell that rings for each would take more
# time from the broker and the processor than the events. After a pause the first one rings at once.
_RING_SECONDS: Final = 0.01
# An exchange that was deleted and declared again has lost its bindings, and the broker says nothing.
BIND_SECONDS: Final = 10.0
# A right that the account lacks is not there a moment later.
_REFUSED_SECONDS: Final = 10.0

log = get_logger(__name__)


class Lost(Exception):
    """The connection or the queue is gone."""


class NewestEventQueue:
    """This process's own queue for the newest event; each delivery calls `ring`.

    The queue ends with its connection. When it is there again, `ring` is called once, because
    the events of the time in between are not delivered.
    """

    def __init__(
        self, amqp_url: str, ring: Callable[[], None], *, bind_seconds: float = BIND_SECONDS
    ) -> None:
        self._url = amqp_url
        self._ring = ring
        self._bind_seconds = bind_seconds
        self._is_refused = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, amqp_url: str, ring: Callable[[], None], *, bind_seconds: float = BIND_SECONDS
    ) -> AsyncGenerator[None]:
        """Listen until the context ends; it begins at once, also while the broker is away."""
        queue = cls(amqp_url, ring, bind_seconds=bind_seconds)
        listening = asyncio.create_task(queue.listen(), name="newest event")
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.wait({listening})

    async def listen(self) -> NoReturn:
        """Listen for ever; cancel it to stop."""
        back_off = BackOff("newest event")
        while True:
            try:
                async with connected(self._url, _NAME) as connection:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        channel = await connection.channel(publisher_confirms=False)
                        queue, gone = await self._declare(channel)
                    log.info("doorbell_listens", over="rabbitmq")
                    back_off.reset()
                    self._is_refused = False
                    self._ring()
                    await self._stay_bound(queue, gone)
            except ChannelClosed as error:
                raise_if_cancelled()
                self._report_refusal(error)
                await asyncio.sleep(_REFUSED_SECONDS)
            except (Lost, *FAILURES) as error:
                # The same loss shows as different errors, and is logged once.
                await back_off.wait(Lost().with_traceback(error.__traceback__))

    async def _declare(self, channel: AbstractChannel) -> tuple[AbstractQueue, asyncio.Event]:
        """The bound queue with its consumer, and an event that is set when one of them is gone."""
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        next_at = loop.time()

        async def take(message: AbstractIncomingMessage) -> None:
            nonlocal next_at
            # Before the acknowledgement: the next message then rings for a later event.
            self._ring()
            pause, next_at = next_at - loop.time(), max(next_at, loop.time()) + _RING_SECONDS
            try:
                if pause > 0:
                    await asyncio.sleep(pause)
                await message.ack()
            except FAILURES:
                gone.set()

        def lose(*_: object) -> None:
            gone.set()

        channel.close_callbacks.add(lose)
        # The broker ends a consumer when an operator deletes its queue; the channel stays open.
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lose)
        await channel.set_qos(prefetch_count=1)
        await declare_topology(channel)
        queue = await channel.declare_queue(exclusive=True, arguments=dict(_ARGUMENTS))
        await queue.bind(EXCHANGE, "#")
        await queue.consume(take)
        return queue, gone

    async def _stay_bound(self, queue: AbstractQueue, gone: asyncio.Event) -> NoReturn:
        while True:
            try:
                async with asyncio.timeout(self._bind_seconds):
                    await gone.wait()
            except TimeoutError:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await declare_topology(queue.channel)
                    await queue.bind(EXCHANGE, "#")
            else:
                raise Lost

    def _report_refusal(self, error: ChannelClosed) -> None:
        """The broker's own text names the account, so the line has only the kind of the error."""
        if not self._is_refused:
            self._is_refused = True
            log.warning(
                "newest_event_queue_refused",
                error=type(error).__name__,
                needs="to configure, write and read amq.gen-* and rollbook.events",
            )
