"""A full queue of another party slows nobody, and what it refused is sent again."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from structlog.testing import capture_logs

from application.messaging.rejected import Replayed
from application.messaging.relay import REFUSED
from application.messaging.sending import RETRY_SECONDS
from tests.support.jobs.relaying import (
    EXCHANGE,
    RelaySide,
    outsider,
    positions_of,
    relay_process,
)
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute

# Each refused page is published once, and while refusals are still retried once more for each of
# five retries, with one message of each type.
COPIES: Final = 10
PAGE: Final = 500


@pytest.fixture
async def relay_side(database_url: str, amqp_url: str) -> AsyncIterator[RelaySide]:
    async with RelaySide.open(database_url, amqp_url) as relay_side:
        yield relay_side


async def test_a_foreign_queue_that_refuses_events_does_not_affect_the_others(
    relay_side: RelaySide,
) -> None:
    async with outsider(relay_side) as other, _full_queue(relay_side.amqp_url):
        with capture_logs() as logs:
            async with relay_side.relaying():
                await relay_side.record(30)
                head = await relay_side.wait_until_relayed()
                await other.wait_for(head)
        assert other.first_deliveries == await positions_of(relay_side)
    rows = await execute(
        relay_side.url, "SELECT position, topic, error FROM relay_rejected ORDER BY position"
    )
    assert [row[0] for row in rows] == await positions_of(relay_side)
    assert {row[1:] for row in rows} == {("user.registered", REFUSED)}
    logged = [entry for entry in logs if entry["event"] == "events_not_relayed"]
    assert sum(entry["count"] for entry in logged) == 30
    assert "Öberg" not in str(logs)


async def test_a_foreign_queue_that_refuses_for_a_moment_gets_all_events(
    relay_side: RelaySide,
) -> None:
    async with _full_queue(relay_side.amqp_url) as full, relay_side.relaying():
        recording = asyncio.create_task(relay_side.record(1))
        await asyncio.sleep(0.3)
        await full.purge()
        await recording
        await relay_side.wait_until_relayed()
        assert await full.get(no_ack=True, fail=False) is not None
    assert await execute(relay_side.url, "SELECT * FROM relay_rejected") == []


async def test_the_other_queues_get_few_copies_and_are_not_slowed(relay_side: RelaySide) -> None:
    await relay_side.record(4 * PAGE)
    async with outsider(relay_side) as other, _full_queue(relay_side.amqp_url):
        async with relay_side.relaying():
            await other.wait_for(await relay_side.wait_until_relayed())
        assert other.first_deliveries == await positions_of(relay_side)
        assert len(other.messages) <= 4 * PAGE + COPIES
    assert (await relay_side.records.status()).rejected == 4 * PAGE


async def test_a_replay_delivers_what_a_queue_refused_while_it_was_full(
    relay_side: RelaySide,
) -> None:
    await relay_side.record(2 * PAGE)
    async with _full_queue(relay_side.amqp_url, length=PAGE) as full:
        async with relay_side.relaying():
            await relay_side.wait_until_relayed()
        refused = [each.position for each in await relay_side.records.rejected(0, 10**6)]
        assert len(refused) >= PAGE
        assert (await relay_side.replay()).sent == 0
        seen = set[int]()
        await full.consume(partial(_take, seen))
        async with asyncio.timeout(30):
            while (await relay_side.replay()) != Replayed():
                await asyncio.sleep(0.05)
            while len(seen) < 2 * PAGE:
                await asyncio.sleep(0.05)
        assert sorted(seen) == await positions_of(relay_side)
    assert (await relay_side.records.status()).rejected == 0


@pytest.mark.long
async def test_a_relay_that_is_killed_after_it_set_events_aside_loses_none(
    relay_side: RelaySide,
) -> None:
    await relay_side.record(3 * PAGE)
    log = await positions_of(relay_side)
    async with _full_queue(relay_side.amqp_url):
        async with relay_process(relay_side, "lives") as process:
            async with asyncio.timeout(20):
                while not (await relay_side.records.status()).rejected:
                    await asyncio.sleep(0.01)
            process.kill()
        async with relay_side.relaying():
            await relay_side.wait_until_relayed()
    kept = [each.position for each in await relay_side.records.rejected(0, 10**6)]
    assert kept == log
    async with outsider(relay_side) as other:
        assert await relay_side.replay() == Replayed(sent=len(log))
        await other.wait_for(log[-1])
        assert other.positions == log


@pytest.mark.alone
@pytest.mark.long
async def test_a_full_queue_costs_the_relay_less_than_half_of_its_rate(
    relay_side: RelaySide,
) -> None:
    for _ in range(0, scaled(2000), PAGE):
        await relay_side.record(PAGE)
    async with outsider(relay_side):
        alone = await _seconds(relay_side)
        async with _full_queue(relay_side.amqp_url):
            beside = await _seconds(relay_side)
    # Apart from the pauses after which the relay gives up on the first refusals.
    assert alone / (beside - RETRY_SECONDS) >= 0.6


async def _seconds(relay_side: RelaySide) -> float:
    """How long a relay takes for the whole log."""
    await execute(relay_side.url, "DELETE FROM checkpoints WHERE projection = 'relay'")
    began = time.perf_counter()
    async with relay_side.relaying():
        await relay_side.wait_until_relayed(timeout_seconds=120)
    return time.perf_counter() - began


async def _take(seen: set[int], message: AbstractIncomingMessage) -> None:
    if "position" in message.headers:
        seen.add(int(str(message.headers["position"])))
    await message.ack()


@asynccontextmanager
async def _full_queue(amqp_url: str, length: int = 1) -> AsyncGenerator[AbstractQueue]:
    """A queue without a consumer that has room for few messages, and has one already."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
        limits: dict[str, str | int] = {"x-max-length": length, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue(exclusive=True, arguments=dict(limits))
        await queue.bind(exchange, "#")
        await channel.default_exchange.publish(aio_pika.Message(b"full"), queue.name)
        yield queue
