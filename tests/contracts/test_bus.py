"""The contract of every message bus: RabbitMQ and its double in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

import aio_pika
import pytest
from aio_pika.abc import AbstractQueue
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.messaging.bus import Bus, Message
from infrastructure.bus.rabbitmq import RabbitMQBus
from infrastructure.bus.topology import declare_topology
from tests.support.doubles.bus import MemoryBus

BODY: Final = b'{"specversion":"1.0"}'


class BusUnderTest(Struct, frozen=True):
    """`received` returns the messages that a consumer bound to all events has received."""

    bus: Bus
    received: Callable[[int], Awaitable[Sequence[Message]]]


def message(position: int) -> Message:
    return Message(
        event_id=uuid7(),
        type="user.renamed",
        stream=UUID(int=7),
        position=position,
        version=position + 1,
        body=BODY,
    )


@pytest.fixture(params=["memory", "rabbitmq"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("amqp_url") if request.param == "rabbitmq" else None


@pytest.fixture
async def under_test(url: str | None) -> AsyncIterator[BusUnderTest]:
    if url is None:
        yield _in_memory()
        return
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await declare_topology(channel)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("rollbook.events", "#")
        yield BusUnderTest(RabbitMQBus(url), lambda count: _receive(queue, count))


def _in_memory() -> BusUnderTest:
    bus = MemoryBus()

    async def received(count: int) -> Sequence[Message]:
        assert len(bus.published) == count
        return bus.published

    return BusUnderTest(bus, received)


async def _receive(queue: AbstractQueue, count: int) -> Sequence[Message]:
    found: list[Message] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            if (got := await queue.get(no_ack=True, fail=False)) is None:
                await asyncio.sleep(0.01)
                continue
            assert got.message_id is not None
            assert got.routing_key is not None
            position, version = got.headers["position"], got.headers["version"]
            assert isinstance(position, int)
            assert isinstance(version, int)
            found.append(
                Message(
                    event_id=UUID(got.message_id),
                    type=got.routing_key,
                    stream=UUID(int=7),
                    position=position,
                    version=version,
                    body=got.body,
                )
            )
    assert await queue.get(no_ack=True, fail=False) is None
    return found


async def test_a_page_arrives_complete_and_in_order(under_test: BusUnderTest) -> None:
    page = [message(10**13 + n) for n in range(300)]
    async with under_test.bus.connect() as publisher:
        assert not await publisher.publish(page)
    assert await under_test.received(300) == page


async def test_pages_arrive_in_order(under_test: BusUnderTest) -> None:
    async with under_test.bus.connect() as publisher:
        for n in range(0, 50, 5):
            assert not await publisher.publish([message(n + i) for i in range(5)])
    assert [each.position for each in await under_test.received(50)] == list(range(50))


async def test_an_empty_page_publishes_nothing(under_test: BusUnderTest) -> None:
    async with under_test.bus.connect() as publisher:
        assert not await publisher.publish([])
    assert not await under_test.received(0)


async def test_two_publishers_may_be_connected_at_once(under_test: BusUnderTest) -> None:
    async with under_test.bus.connect() as first, under_test.bus.connect() as second:
        first.check()
        second.check()
        assert not await first.publish([message(1)])
        assert not await second.publish([message(2)])
    assert [each.position for each in await under_test.received(2)] == [1, 2]
