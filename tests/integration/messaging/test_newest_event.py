"""The queue for the newest event on a real RabbitMQ: it comes back by itself, whatever takes it away."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import aio_pika
import pytest
from structlog.testing import capture_logs

from application.doorbell import LOG, Bell
from infrastructure.bus.newest_event import NewestEventQueue
from infrastructure.bus.rabbitmq import RabbitMQBus
from infrastructure.doorbell.memory import MemoryDoorbell
from tests.contracts.test_bus import message
from tests.support.jobs.relaying import EXCHANGE
from tests.support.servers.postgres_backends import frozen
from tests.support.servers.rabbit import RabbitNode

SOON: Final = 10.0
QUIET: Final = 0.3
# Names and arguments of the queues, their messages and consumers.
QUEUES: Final = ("name", "arguments", "messages", "consumers", "exclusive", "type")


@asynccontextmanager
async def woken(amqp_url: str, *, bind_seconds: float = 60) -> AsyncGenerator[Bell]:
    """The bell of a process with a queue of its own."""
    doorbell = MemoryDoorbell()
    async with (
        doorbell.listen(LOG) as bell,
        NewestEventQueue.open(amqp_url, partial(doorbell.ring, LOG), bind_seconds=bind_seconds),
    ):
        yield bell


async def publish(amqp_url: str, count: int = 1) -> None:
    async with RabbitMQBus(amqp_url).connect() as publisher:
        assert not await publisher.publish([message(n) for n in range(count)])


async def assert_wakes(amqp_url: str, bell: Bell) -> None:
    """The next event rings, and not only because of an earlier ring."""
    async with asyncio.timeout(20):
        while await bell.wait(QUIET):
            pass
        await publish(amqp_url)
        assert await bell.wait(SOON)


def queues(rabbit: RabbitNode) -> list[list[str]]:
    lines = rabbit.control("--no-table-headers", "list_queues", *QUEUES).splitlines()
    return [line.split("\t") for line in lines if line.startswith("amq.gen-")]


async def test_the_queue_holds_one_message_and_is_exclusive_and_classic(
    rabbit: RabbitNode,
) -> None:
    async with woken(rabbit.url) as bell:
        assert await bell.wait(SOON)
        await publish(rabbit.url, 500)
        while await bell.wait(QUIET):
            pass
        ((_, arguments, messages, consumers, exclusive, kind),) = await asyncio.to_thread(
            queues, rabbit
        )
    assert [messages, consumers, exclusive, kind] == ["0", "1", "true", "classic"]
    assert '"x-max-length",1' in arguments.replace(" ", "")
    assert '"x-overflow","drop-head"' in arguments.replace(" ", "")


async def test_a_process_that_stands_still_leaves_one_message_in_its_queue(
    rabbit: RabbitNode,
) -> None:
    async with woken(rabbit.url) as bell:
        assert await bell.wait(SOON)
        async with RabbitMQBus(rabbit.url).connect() as publisher:
            publishing = asyncio.create_task(publisher.publish([message(n) for n in range(300)]))
            await asyncio.sleep(0.01)
            time.sleep(0.5)  # the whole process: it acknowledges nothing
            assert not await publishing
        rings = 0
        while await bell.wait(QUIET):
            rings += 1
        # What was on its way, and the newest.
        assert 1 <= rings < 300


async def test_a_queue_that_an_operator_deletes_is_declared_again(rabbit: RabbitNode) -> None:
    async with woken(rabbit.url) as bell:
        assert await bell.wait(SOON)
        ((name, *_),) = await asyncio.to_thread(queues, rabbit)
        await asyncio.to_thread(rabbit.control, "delete_queue", name)
        assert await bell.wait(SOON)
        await assert_wakes(rabbit.url, bell)
        ((other, *_),) = await asyncio.to_thread(queues, rabbit)
        assert other != name


async def test_an_exchange_that_is_deleted_is_declared_and_bound_again(amqp_url: str) -> None:
    async with woken(amqp_url, bind_seconds=0.3) as bell:
        assert await bell.wait(SOON)
        async with await aio_pika.connect(amqp_url) as connection:
            await (await connection.channel()).exchange_delete(EXCHANGE)
        await asyncio.sleep(1)
        await assert_wakes(amqp_url, bell)


@pytest.mark.long
async def test_an_account_without_the_rights_is_reported_once_and_tried_again(
    rabbit: RabbitNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.bus.newest_event._REFUSED_SECONDS", 0.1)
    await asyncio.to_thread(rabbit.control, "add_user", "plain", "a-password")
    await asyncio.to_thread(rabbit.control, "set_permissions", "plain", "^$", ".*", ".*")
    url = rabbit.url.replace("guest:guest", "plain:a-password")
    try:
        with capture_logs() as logs:
            async with woken(url) as bell:
                await asyncio.sleep(1)
                assert not await bell.wait(0)
                await asyncio.to_thread(
                    rabbit.control, "set_permissions", "plain", ".*", ".*", ".*"
                )
                assert await bell.wait(SOON)
                await assert_wakes(rabbit.url, bell)
        refused = [each for each in logs if each["event"] == "newest_event_queue_refused"]
        assert len(refused) == 1
        assert refused[0]["log_level"] == "warning"
        assert "plain" not in str(logs)
        assert "a-password" not in str(logs)
    finally:
        await asyncio.to_thread(rabbit.control, "delete_user", "plain")


@pytest.mark.long
async def test_a_broker_that_is_away_at_the_start_and_later_is_logged_once(
    rabbit: RabbitNode,
) -> None:
    await asyncio.to_thread(rabbit.stop)
    with capture_logs() as logs:
        began = time.monotonic()
        async with woken(rabbit.url) as bell:
            assert time.monotonic() - began < 0.5
            assert not await bell.wait(1)
            rabbit.launch()
            assert await bell.wait(30)
            await assert_wakes(rabbit.url, bell)
            rabbit.kill()
            assert not await bell.wait(1)
            rabbit.launch()
            assert await bell.wait(30)
            await assert_wakes(rabbit.url, bell)
    lines = [each["event"] for each in logs if each["event"].startswith(("follower", "doorbell"))]
    assert lines == [
        "follower_waits",
        "doorbell_listens",
        "follower_goes_on",
        "follower_waits",
        "doorbell_listens",
        "follower_goes_on",
    ]


@pytest.mark.long
async def test_a_frozen_broker_is_noticed_by_its_heartbeat(rabbit: RabbitNode) -> None:
    async with woken(f"{rabbit.url}?heartbeat=1") as bell:
        assert await bell.wait(SOON)
        with frozen(rabbit.process):
            assert not await bell.wait(8)
        assert await bell.wait(SOON)
        await assert_wakes(rabbit.url, bell)
