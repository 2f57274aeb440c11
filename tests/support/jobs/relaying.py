"""A relay between real servers, and outside consumers of its messages."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Self
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from msgspec import Struct

from application.messaging.bus import Bus
from application.messaging.rejected import Replayed, replay
from application.messaging.relay import run_relay
from domain.event import Event, Recorded
from infrastructure.bus.rabbitmq import RabbitMQBus
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.event_store.feed import PostgresSealedFeed
from infrastructure.keys import MasterKeys
from infrastructure.relay.ledger import PostgresRelayLedger
from infrastructure.relay.records import PostgresRelayRecords
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.log.drafts import registration
from tests.support.run.background import in_background, module_process
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.views.directory import execute

EXCHANGE: Final = "rollbook.events"
QUORUM: Final = {"x-queue-type": "quorum"}


class RelaySide(Struct, frozen=True):
    """Everything between a command and the bus, in this process."""

    url: str
    amqp_url: str
    events: EventStore
    doorbell: PostgresDoorbell

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, amqp_url: str) -> AsyncGenerator[Self]:
        """Opens over a migrated database; relays nothing yet."""
        async with AsyncExitStack() as stack:
            masters = MasterKeys.parse(MASTER_KEYS)
            events = await stack.enter_async_context(open_event_store(url, masters))
            doorbell = await stack.enter_async_context(PostgresDoorbell.open(url))
            yield cls(url, amqp_url, events, doorbell)

    @asynccontextmanager
    async def relaying(self, bus: Bus | None = None) -> AsyncGenerator[None]:
        """Run a relay until the block ends."""
        relay = run_relay(
            bus or RabbitMQBus(self.amqp_url),
            PostgresRelayLedger(self.events.database),
            PostgresSealedFeed(self.events.database, self.events.identity.breaks),
            self.doorbell,
            self.events.identity.id,
        )
        async with in_background(relay):
            yield

    async def replay(self) -> Replayed:
        """Publish what was set aside again."""

        async def report(_: int) -> None: ...

        return await replay(
            RabbitMQBus(self.amqp_url, "replay"),
            self.records,
            PostgresSealedFeed(self.events.database, self.events.identity.breaks),
            self.events.identity.id,
            report,
        )

    @property
    def records(self) -> PostgresRelayRecords:
        return PostgresRelayRecords(self.events.database)

    async def record(self, count: int) -> list[Recorded[Event]]:
        """Register this many users; the recorded events."""
        appends = (self.events.log.append(registration()) for _ in range(count))
        return [appended.events[0] for appended in await asyncio.gather(*appends)]

    async def checkpoint(self) -> int:
        statement = "SELECT position FROM checkpoints WHERE projection = 'relay'"
        rows = await execute(self.url, statement)
        return rows[0][0] if rows else 0

    async def wait_until_relayed(self, timeout_seconds: float = 30) -> int:
        """The head of the log, once the relay's checkpoint has reached it."""
        head = await self.events.feed.head()
        async with asyncio.timeout(timeout_seconds):
            while await self.checkpoint() < head:
                await asyncio.sleep(0.02)
        return head


class Outsider:
    """An outside consumer with its own queue; it reconnects by itself."""

    def __init__(self, queue: AbstractQueue) -> None:
        self.queue = queue
        self.messages: list[AbstractIncomingMessage] = []

    @classmethod
    @asynccontextmanager
    async def listening(
        cls, amqp_url: str, name: str, arguments: Mapping[str, str | int] = QUORUM
    ) -> AsyncGenerator[Self]:
        """Consume from a durable queue with this name; the queue is deleted at the end."""
        async with await aio_pika.connect_robust(amqp_url, reconnect_interval=0.2) as connection:
            channel = await connection.channel()
            await channel.set_qos(200)
            queue = await channel.declare_queue(name, durable=True, arguments=dict(arguments))
            exchange = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
            await queue.bind(exchange, "user.*")
            outsider = cls(queue)
            try:
                await queue.consume(outsider._take)
                yield outsider
            finally:
                await queue.delete(if_unused=False, if_empty=False)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        self.messages.append(message)
        await message.ack()

    @property
    def positions(self) -> list[int]:
        """The positions of all messages in the order of arrival, with duplicates."""
        return [int(str(message.headers["position"])) for message in self.messages]

    @property
    def first_deliveries(self) -> list[int]:
        """The positions without duplicates, which are messages with the same id."""
        ids = dict[str | None, int]()
        for message, position in zip(self.messages, self.positions, strict=True):
            ids.setdefault(message.message_id, position)
        return list(ids.values())

    async def wait_for(self, position: int, timeout_seconds: float = 30) -> None:
        """Return when the consumer has received the event at a position."""
        async with asyncio.timeout(timeout_seconds):
            while position not in self.positions[-2000:]:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def outsider(relay_side: RelaySide, **arguments: str | int) -> AsyncGenerator[Outsider]:
    name = f"rollbook-test-{uuid4().hex[:12]}"
    given = arguments or {"x-queue-type": "quorum"}
    async with Outsider.listening(relay_side.amqp_url, name, given) as outsider:
        yield outsider


async def positions_of(relay_side: RelaySide) -> list[int]:
    """Every position of the log."""
    statement = "SELECT notification_id FROM stored_events ORDER BY 1"
    return [row[0] for row in await execute(relay_side.url, statement)]


@asynccontextmanager
async def relay_process(relay_side: RelaySide, how: str) -> AsyncGenerator[Process]:
    """A relay in a separate process; one that `dies` ends before its first checkpoint."""
    urls = (relay_side.url, relay_side.amqp_url)
    async with module_process("tests.support.processes.relay", *urls, how) as process:
        yield process
        if how == "dies":
            await asyncio.wait_for(process.wait(), 10)
