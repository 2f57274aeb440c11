"""The contract of every doorbell: it wakes each listener, and loses no ring between two waits."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import pytest

from application.doorbell import Doorbell
from infrastructure.doorbell.broadcast import BroadcastDoorbell
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.doorbell.postgres import PostgresDoorbell
from tests.support.servers.redis import redis_url

Open = Callable[[], AbstractAsyncContextManager[Doorbell]]


@asynccontextmanager
async def memory_doorbell() -> AsyncGenerator[MemoryDoorbell]:
    yield MemoryDoorbell()


@pytest.fixture(params=["memory", "postgres", "redis"])
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    if request.param == "memory":
        yield memory_doorbell
    elif request.param == "postgres":
        url = request.getfixturevalue("empty_database_url")
        yield lambda: PostgresDoorbell.open(url)
    else:
        with redis_url() as url:
            yield lambda: BroadcastDoorbell.open(url, uuid4().hex)


@pytest.fixture
async def doorbell(opened: Open) -> AsyncIterator[Doorbell]:
    async with opened() as doorbell:
        yield doorbell


async def test_a_ring_wakes_every_listener_of_that_bell(doorbell: Doorbell) -> None:
    async with (
        doorbell.listen("log") as first,
        doorbell.listen("log") as second,
        doorbell.listen("view:users") as other,
    ):
        doorbell.ring("log")
        assert await first.wait(1)
        assert await second.wait(1)
        assert not await other.wait(0.05)


async def test_a_ring_between_two_waits_is_not_lost_and_wakes_once(doorbell: Doorbell) -> None:
    async with doorbell.listen("log") as bell:
        doorbell.ring("log")
        doorbell.ring("log")
        assert await bell.wait(0)
        assert not await bell.wait(0.05)


async def test_a_wait_ends_at_its_timeout(doorbell: Doorbell) -> None:
    async with doorbell.listen("log") as bell:
        began = asyncio.get_running_loop().time()
        assert not await bell.wait(0.1)
        assert asyncio.get_running_loop().time() - began < 1


async def test_a_ring_before_listening_is_ignored(doorbell: Doorbell) -> None:
    doorbell.ring("log")
    await asyncio.sleep(0.1)
    async with doorbell.listen("log") as bell:
        assert not await bell.wait(0.1)


async def test_a_ring_without_listeners_does_nothing(doorbell: Doorbell) -> None:
    doorbell.ring("log")
    async with doorbell.listen("log"):
        pass
    doorbell.ring("log")
