"""The doorbell over Redis: two doorbells of one namespace stand for two processes."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from infrastructure.doorbell.broadcast import BroadcastDoorbell
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.doorbell.redis import RESTORED, RedisBackend
from tests.support.servers.redis import PrivateRedis, private_redis


@pytest.fixture
def server() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


def process(
    server: PrivateRedis, log: str = "log"
) -> AbstractAsyncContextManager[BroadcastDoorbell]:
    return BroadcastDoorbell.open(server.url, log)


async def test_a_ring_is_heard_in_other_processes_of_the_same_log(server: PrivateRedis) -> None:
    async with process(server) as here, process(server) as there, process(server, "other") as other:
        async with there.listen("view:users") as bell, other.listen("view:users") as foreign:
            await bell.wait(0.1)
            await foreign.wait(0.1)
            here.ring("view:users")
            assert await bell.wait(2)
            assert not await foreign.wait(0.1)


async def test_many_rings_are_few_messages_and_do_not_return_to_the_sender(
    server: PrivateRedis,
) -> None:
    client = cast("Any", Redis).from_url(server.url)
    async with process(server) as here, client.pubsub() as witness, here.listen("log") as bell:
        await bell.wait(0.1)
        await witness.psubscribe("*")
        assert await witness.get_message(timeout=1)
        for _ in range(1000):
            here.ring("log")
        assert await bell.wait(0)
        assert await witness.get_message(timeout=1)
        assert not await witness.get_message(timeout=0.2)
        assert not await bell.wait(0.1)
    await client.aclose()


async def test_a_server_that_was_away_is_heard_again_and_then_all_bells_ring(
    server: PrivateRedis,
) -> None:
    async with process(server) as here, process(server) as there, there.listen("log") as bell:
        await bell.wait(0.1)
        server.stop()
        here.ring("other")
        assert not await bell.wait(0.2)
        server.start()
        assert await bell.wait(5)
        async with asyncio.timeout(10):
            here.ring("log")
            while not await bell.wait(0.5):
                here.ring("log")


async def test_a_frozen_server_blocks_no_caller(server: PrivateRedis) -> None:
    async with process(server) as here, here.listen("log") as bell:
        server.signal(signal.SIGSTOP)
        here.ring("log")
        assert await bell.wait(0)
        await asyncio.sleep(0.1)
        server.signal(signal.SIGCONT)


async def test_a_subscription_whose_server_falls_silent_is_replaced(server: PrivateRedis) -> None:
    backend = RedisBackend(server.url, "bells", silent_seconds=0.1)
    await backend.connect()
    assert (await backend.next_published()).message == RESTORED
    await asyncio.sleep(0.5)  # a quiet server answers when asked, and its connection stays
    server.signal(signal.SIGSTOP)
    await asyncio.sleep(0.5)
    server.signal(signal.SIGCONT)
    async with asyncio.timeout(5):
        assert (await backend.next_published()).message == RESTORED
    await backend.disconnect()


async def test_unread_messages_become_one(server: PrivateRedis) -> None:
    here, there = RedisBackend(server.url, "bells"), RedisBackend(server.url, "bells")
    await here.connect()
    await there.connect()
    await here.next_published()
    for number in range(100):
        await there.publish("bells", str(number))
    await asyncio.sleep(0.2)
    assert (await here.next_published()).message == RESTORED
    await here.disconnect()
    await there.disconnect()


async def test_without_a_server_at_the_start_only_its_own_process_hears_a_ring() -> None:
    async with BroadcastDoorbell.open("redis://127.0.0.1:1", "log") as doorbell:
        async with doorbell.listen("log") as bell:
            doorbell.ring("log")
            assert await bell.wait(0)


async def test_it_shares_bells_with_the_notifications_of_the_append_function(
    server: PrivateRedis, empty_database_url: str
) -> None:
    bells = MemoryDoorbell()
    async with (
        PostgresDoorbell.open(empty_database_url, bells),
        PostgresDoorbell.open(empty_database_url) as writer,
        BroadcastDoorbell.open(server.url, "log", bells) as doorbell,
        doorbell.listen("log") as bell,
    ):
        await bell.wait(0.1)
        writer.ring("log")
        assert await bell.wait(2)
