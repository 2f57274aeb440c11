"""The contract of what wakes a process after an event: memory, LISTEN, and RabbitMQ's newest event."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

import pytest
from msgspec import Struct

from application.doorbell import LOG, Bell, Doorbell
from application.messaging.sending import Sender
from infrastructure.bus.newest_event import NewestEventQueue
from infrastructure.bus.rabbitmq import RabbitMQBus
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.contracts.test_bus import message
from tests.support.clients.broken_line import BrokenLine
from tests.support.log.drafts import registration
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.servers.postgres_backends import terminate_all

SOON: Final = 5.0
QUIET: Final = 0.2


class Woken(Struct, frozen=True):
    """Ways to start a process that events wake, to record events, and to cut its connection."""

    process: Callable[[], AbstractAsyncContextManager[Doorbell]]
    record: Callable[[int], Awaitable[None]]
    disconnect: Callable[[], Awaitable[None]] | None = None


@pytest.fixture(params=["memory", "postgres", "rabbitmq"])
def opened(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Woken]:
    if request.param == "postgres":
        return _by_listen(request.getfixturevalue("database_url"))
    if request.param == "rabbitmq":
        return _by_rabbitmq(request.getfixturevalue("amqp_url"))
    return _in_memory()


@pytest.fixture
async def woken(opened: AbstractAsyncContextManager[Woken]) -> AsyncIterator[Woken]:
    async with opened as woken:
        yield woken


@asynccontextmanager
async def _in_memory() -> AsyncGenerator[Woken]:
    doorbell = MemoryDoorbell()

    @asynccontextmanager
    async def process() -> AsyncGenerator[Doorbell]:
        yield doorbell

    async def record(count: int) -> None:
        for _ in range(count):
            doorbell.ring(LOG)

    yield Woken(process, record)


@asynccontextmanager
async def _by_listen(url: str) -> AsyncGenerator[Woken]:
    async with open_event_store(url, MasterKeys.parse(MASTER_KEYS)) as store:

        async def record(count: int) -> None:
            await asyncio.gather(*(store.log.append(registration()) for _ in range(count)))

        yield Woken(lambda: PostgresDoorbell.open(url), record, lambda: terminate_all(url))


@asynccontextmanager
async def _by_rabbitmq(amqp_url: str) -> AsyncGenerator[Woken]:
    """Records as the relay does: an event is there when it is published."""
    async with (
        RabbitMQBus(amqp_url).connect() as publisher,
        BrokenLine.to(amqp_url) as line,
    ):

        @asynccontextmanager
        async def process() -> AsyncGenerator[Doorbell]:
            doorbell = MemoryDoorbell()
            async with NewestEventQueue.open(line.url, partial(doorbell.ring, LOG)):
                yield doorbell

        async def record(count: int) -> None:
            # RabbitMQ 4.3 refuses what was on its way to a queue that ends; the relay sends it again.
            assert not await Sender(publisher).send([message(n) for n in range(count)])

        async def disconnect() -> None:
            line.cut()

        yield Woken(process, record, disconnect)


@asynccontextmanager
async def listening(woken: Woken) -> AsyncGenerator[Bell]:
    """A bell of a new process that is woken by now, and has rung for what it may have missed."""
    async with woken.process() as doorbell, doorbell.listen(LOG) as bell:
        async with asyncio.timeout(20):
            while True:
                await woken.record(1)
                if await bell.wait(QUIET):
                    break
        await quiet(bell)
        yield bell


async def quiet(bell: Bell) -> int:
    """How often the bell rings until it is quiet."""
    rings = 0
    while await bell.wait(QUIET):
        rings += 1
    return rings


async def test_an_event_wakes_every_process(woken: Woken) -> None:
    async with listening(woken) as first, listening(woken) as second:
        await quiet(first)
        await woken.record(1)
        assert await first.wait(SOON)
        assert await second.wait(SOON)


async def test_each_event_rings_also_right_after_the_last_ring(woken: Woken) -> None:
    async with listening(woken) as bell:
        for _ in range(20):
            await woken.record(1)
            assert await bell.wait(SOON)


async def test_many_events_ring_after_the_last_one_and_pile_up_no_rings(woken: Woken) -> None:
    async with listening(woken) as bell:
        await woken.record(300)
        assert 1 <= await quiet(bell) <= 300
        assert not await bell.wait(QUIET)


async def test_a_listener_that_does_not_read_finds_one_ring(woken: Woken) -> None:
    async with listening(woken) as bell:
        await woken.record(100)
        await asyncio.sleep(QUIET)
        assert await bell.wait(0)
        assert not await bell.wait(QUIET)


async def test_events_while_nobody_listens_do_not_disturb_later_processes(woken: Woken) -> None:
    async with listening(woken):
        pass
    await woken.record(10)
    async with listening(woken) as bell:
        await woken.record(1)
        assert await bell.wait(SOON)


async def test_a_process_that_lost_its_connection_rings_once_it_listens_again(
    woken: Woken,
) -> None:
    if woken.disconnect is None:
        return  # in memory there is no connection
    async with listening(woken) as bell:
        await woken.disconnect()
        assert await bell.wait(SOON)
        await quiet(bell)
        await woken.record(1)
        assert await bell.wait(SOON)
