"""The relay, from the log to confirmed messages, against a bare publisher of prepared messages.

The twin is plain aio-pika: it publishes pages of the same size with the same bodies and properties,
and waits for all confirms before the next page. It reads no log, makes no envelope and stores no
checkpoint. Both publish to one exchange, first without a queue, then with one quorum queue. Last, the
relay alone is the twin of the relay whose newest event wakes four processes.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from typing import Final

import aio_pika
import structlog
from aio_pika.abc import AbstractQueue

from application.log.follower import PAGE_EVENTS
from application.log.sealed import Sealed
from application.messaging.bus import Message, Publisher
from application.messaging.relay import message_of, run_relay
from infrastructure.bus.rabbitmq import CONTENT_TYPE, RabbitMQBus
from infrastructure.event_store.feed import PostgresSealedFeed
from infrastructure.relay.ledger import PostgresRelayLedger
from tests.benchmarks import harness
from tests.support.jobs.relaying import EXCHANGE, QUORUM, RelaySide
from tests.support.run.background import module_process
from tests.support.servers.rabbit import rabbit_node
from tests.support.views.directory import execute

TARGET: Final = 0.9
LISTENING_TARGET: Final = 0.7
_LISTENERS: Final = 4
_EVENTS_PER_SECOND: Final = 15_000
_LISTENER: Final = "tests.support.processes.listener"
_FROM_THE_START: Final = "UPDATE checkpoints SET position = 0 WHERE projection = 'relay'"


async def relay(url: str, given: harness.Options) -> Sequence[harness.Comparison]:
    """Compares both without a queue, then with one."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with ExitStack() as stack:
        amqp_url = os.environ.get("ROLLBOOK_TEST_AMQP_URL")
        amqp_url = amqp_url or stack.enter_context(rabbit_node()).url
        async with RelaySide.open(url, amqp_url) as relay_side, _queue(amqp_url) as queue:
            for _ in range(0, round(_EVENTS_PER_SECOND * max(given.seconds, 1)), PAGE_EVENTS):
                await relay_side.record(PAGE_EVENTS)
            page = await _page(relay_side)

            async def twin(seconds: float) -> float:
                rate = await _bare_publisher(amqp_url, page, seconds)
                await queue.purge()
                return rate

            async def ours(seconds: float) -> float:
                rate = await _relayed(relay_side, seconds)
                await queue.purge()
                return rate

            async def woken(seconds: float) -> float:
                async with AsyncExitStack() as listeners:
                    for _ in range(_LISTENERS):
                        await listeners.enter_async_context(module_process(_LISTENER, amqp_url))
                    return await _relayed(relay_side, seconds)

            async def compare(subject: str) -> harness.Comparison:
                return await harness.compare(subject, twin, ours, given, target=TARGET)

            without = await compare("relay, no queue bound")
            listening = await harness.compare(
                f"relay, {_LISTENERS} processes woken", ours, woken, given, target=LISTENING_TARGET
            )
            await queue.bind(EXCHANGE, "#")
            return [without, await compare("relay, one quorum queue"), listening]


@asynccontextmanager
async def _queue(amqp_url: str) -> AsyncGenerator[AbstractQueue]:
    """A queue without a binding; declares the exchange, too."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange(EXCHANGE, "topic", durable=True)
        queue = await channel.declare_queue("rollbook-bench", durable=True, arguments=dict(QUORUM))
        try:
            yield queue
        finally:
            await queue.delete(if_unused=False, if_empty=False)


async def _page(relay_side: RelaySide) -> Sequence[Message]:
    """A page of messages made by the code of the relay."""
    page = await PostgresSealedFeed(relay_side.events.database).read(0, PAGE_EVENTS)
    log_id = relay_side.events.identity.id
    return [
        message_of(recorded, recorded.event, log_id)
        for recorded in page.events
        if isinstance(recorded.event, Sealed)
    ]


async def _bare_publisher(amqp_url: str, page: Sequence[Message], seconds: float) -> float:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EXCHANGE)
        done = 0
        began = time.perf_counter()
        while time.perf_counter() < began + seconds:
            await asyncio.gather(
                *(
                    exchange.publish(
                        aio_pika.Message(
                            message.body,
                            content_type=CONTENT_TYPE,
                            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                            message_id=str(message.event_id),
                            headers={"position": message.position, "version": message.version},
                        ),
                        message.type,
                        mandatory=False,
                    )
                    for message in page
                )
            )
            done += len(page)
        return done / (time.perf_counter() - began)


async def _relayed(relay_side: RelaySide, seconds: float) -> float:
    """Measured from the first page on, so that the election of the leader does not count."""
    await execute(relay_side.url, _FROM_THE_START)
    bus = _CountingBus(relay_side.amqp_url)
    task = asyncio.create_task(
        run_relay(
            bus,
            PostgresRelayLedger(relay_side.events.database),
            PostgresSealedFeed(relay_side.events.database),
            relay_side.doorbell,
            relay_side.events.identity.id,
        )
    )
    await bus.began.wait()
    await asyncio.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    if bus.done >= await relay_side.events.feed.head():
        sys.exit("the log was too short: the relay reached its end")
    return bus.rate


class _CountingBus:
    """A bus that counts the confirmed messages."""

    def __init__(self, amqp_url: str) -> None:
        self._bus = RabbitMQBus(amqp_url)
        self.began = asyncio.Event()
        self.done = 0
        self.rate = 0.0

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Publisher]:
        async with self._bus.connect() as publisher:
            yield _CountingPublisher(self, publisher)


class _CountingPublisher:
    def __init__(self, counting: _CountingBus, publisher: Publisher) -> None:
        self._counting = counting
        self._publisher = publisher
        self._began = time.perf_counter()

    def check(self) -> None:
        self._publisher.check()

    async def publish(self, messages: Sequence[Message]) -> Sequence[Message]:
        counting = self._counting
        if not counting.began.is_set():
            counting.began.set()
            self._began = time.perf_counter()
        refused = await self._publisher.publish(messages)
        counting.done += len(messages) - len(refused)
        counting.rate = counting.done / (time.perf_counter() - self._began)
        return refused


if __name__ == "__main__":
    harness.run(relay, __doc__ or "")
