"""The relay between a real Postgres and a real RabbitMQ: whatever befalls it, nobody misses an event."""

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

import aio_pika
import pytest
from structlog.testing import capture_logs

from application.messaging.relay import REFUSED
from infrastructure.bus.rabbitmq import RabbitMQBus
from tests.support.jobs.relaying import EXCHANGE, Outsider, RelaySide
from tests.support.run.background import process_of
from tests.support.servers.postgres import name_of, scaled
from tests.support.servers.postgres_backends import frozen
from tests.support.servers.rabbit import RabbitNode
from tests.support.views.directory import execute

AWAY_SECONDS: Final = scaled(3)


@pytest.fixture
async def relay_side(database_url: str, amqp_url: str) -> AsyncIterator[RelaySide]:
    async with RelaySide.open(database_url, amqp_url) as relay_side:
        yield relay_side


@pytest.fixture
async def beside_node(database_url: str, rabbit: RabbitNode) -> AsyncIterator[RelaySide]:
    """For tests that do something to the broker."""
    async with RelaySide.open(database_url, rabbit.url) as relay_side:
        yield relay_side


@asynccontextmanager
async def outsider(relay_side: RelaySide, **arguments: str | int) -> AsyncGenerator[Outsider]:
    name = f"rollbook-test-{uuid4().hex[:12]}"
    given = arguments or {"x-queue-type": "quorum"}
    async with Outsider.listening(relay_side.amqp_url, name, given) as outsider:
        yield outsider


async def record_for(relay_side: RelaySide, seconds: float) -> None:
    """Users keep coming, some hundred a second."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        await relay_side.record(20)
        await asyncio.sleep(0.05)


async def positions_of(relay_side: RelaySide) -> list[int]:
    """Every position of the log."""
    statement = "SELECT notification_id FROM stored_events ORDER BY 1"
    return [row[0] for row in await execute(relay_side.url, statement)]


async def test_an_outsider_gets_every_event_once_in_order_and_sealed(
    relay_side: RelaySide,
) -> None:
    async with outsider(relay_side) as other, relay_side.relaying():
        await relay_side.record(700)
        await other.has(await relay_side.relayed())
    assert other.positions == await positions_of(relay_side)
    message = other.messages[0]
    body = json.loads(message.body)
    assert message.content_type == "application/cloudevents+json"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.routing_key == body["type"] == "user.registered"
    assert message.message_id == body["id"]
    assert message.headers == {"position": int(body["position"]), "version": 1, "tenant": "main"}
    assert body["data"]["sealed"]["key"] == body["subject"]
    everything = b"".join(each.body for each in other.messages)
    assert "Öberg".encode() not in everything
    assert b"example.com" not in everything


async def test_a_new_event_is_passed_on_at_once(relay_side: RelaySide) -> None:
    async with outsider(relay_side) as other, relay_side.relaying():
        await relay_side.record(1)
        await other.has(await relay_side.relayed())
        began = asyncio.get_running_loop().time()
        (recorded,) = await relay_side.record(1)
        await other.has(recorded.position)
        assert asyncio.get_running_loop().time() - began < 0.5


async def test_a_broker_that_is_stopped_and_started_costs_time_and_nothing_else(
    beside_node: RelaySide, rabbit: RabbitNode
) -> None:
    with capture_logs() as logs:
        async with outsider(beside_node) as other, beside_node.relaying():
            working = asyncio.create_task(record_for(beside_node, AWAY_SECONDS + 3))
            await asyncio.sleep(0.5)
            await asyncio.to_thread(rabbit.stop)
            checkpoint = await beside_node.checkpoint()
            await asyncio.sleep(AWAY_SECONDS)
            assert await beside_node.checkpoint() == checkpoint
            rabbit.launch()
            await working
            await other.has(await beside_node.relayed())
        assert other.first_deliveries == await positions_of(beside_node)
    told = [entry["event"] for entry in logs if entry["event"].startswith("broker")]
    assert told == ["broker_away", "broker_back"]


async def test_a_broker_that_is_killed_costs_time_and_nothing_else(
    beside_node: RelaySide, rabbit: RabbitNode
) -> None:
    # RabbitMQ itself forgets a quorum queue that is younger than some seconds when it is killed.
    classic = {"x-queue-type": "classic"}
    async with outsider(beside_node, **classic) as other, beside_node.relaying():
        working = asyncio.create_task(record_for(beside_node, 3))
        await asyncio.sleep(1)
        rabbit.kill()
        rabbit.launch()
        await working
        await other.has(await beside_node.relayed())
    assert other.first_deliveries == await positions_of(beside_node)


async def test_connections_that_the_broker_closes_are_made_again(
    beside_node: RelaySide, rabbit: RabbitNode
) -> None:
    async with outsider(beside_node) as other, beside_node.relaying():
        working = asyncio.create_task(record_for(beside_node, 8))
        for _ in range(2):
            await asyncio.to_thread(rabbit.close_connections)
        await working
        await other.has(await beside_node.relayed())
    assert other.first_deliveries == await positions_of(beside_node)


async def test_a_broker_that_is_frozen_is_given_up_and_found_again(
    beside_node: RelaySide, rabbit: RabbitNode
) -> None:
    bus = RabbitMQBus(beside_node.amqp_url, timeout_seconds=0.5)
    async with outsider(beside_node) as other, beside_node.relaying(bus):
        await beside_node.record(10)
        await beside_node.relayed()
        with frozen(rabbit.process):
            await beside_node.record(10)
            await asyncio.sleep(AWAY_SECONDS)
            assert await beside_node.checkpoint() < await beside_node.events.feed.head()
        await other.has(await beside_node.relayed())
    assert other.first_deliveries == await positions_of(beside_node)


async def test_an_exchange_that_somebody_deletes_is_made_again(relay_side: RelaySide) -> None:
    async with relay_side.relaying():
        await relay_side.record(1)
        await relay_side.relayed()
        async with await aio_pika.connect(relay_side.amqp_url) as connection:
            channel = await connection.channel()
            await channel.exchange_delete(EXCHANGE)
        await relay_side.record(1)
        await relay_side.relayed()
        async with outsider(relay_side) as other:
            (recorded,) = await relay_side.record(1)
            await other.has(recorded.position)


async def test_a_foreign_queue_that_refuses_takes_nothing_from_the_others(
    relay_side: RelaySide,
) -> None:
    async with outsider(relay_side) as other, _full_queue(relay_side.amqp_url):
        with capture_logs() as logs:
            async with relay_side.relaying():
                await relay_side.record(30)
                head = await relay_side.relayed()
                await other.has(head)
        assert other.first_deliveries == await positions_of(relay_side)
    rows = await execute(
        relay_side.url, "SELECT position, topic, error FROM relay_rejected ORDER BY position"
    )
    assert [row[0] for row in rows] == await positions_of(relay_side)
    assert {row[1:] for row in rows} == {("user.registered", REFUSED)}
    told = [entry for entry in logs if entry["event"] == "events_not_relayed"]
    assert sum(entry["count"] for entry in told) == 30
    assert "Öberg" not in str(logs)


async def test_a_foreign_queue_that_refuses_for_a_moment_gets_all_of_it(
    relay_side: RelaySide,
) -> None:
    async with _full_queue(relay_side.amqp_url) as full, relay_side.relaying():
        recording = asyncio.create_task(relay_side.record(1))
        await asyncio.sleep(0.3)
        await full.purge()
        await recording
        await relay_side.relayed()
        assert await full.get(no_ack=True, fail=False) is not None
    assert await execute(relay_side.url, "SELECT * FROM relay_rejected") == []


@asynccontextmanager
async def _full_queue(amqp_url: str) -> AsyncGenerator[aio_pika.abc.AbstractQueue]:
    """A queue of somebody who takes nothing from it, with room for one message, which is taken."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
        limits: dict[str, str | int] = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue(exclusive=True, arguments=dict(limits))
        await queue.bind(exchange, "#")
        await channel.default_exchange.publish(aio_pika.Message(b"full"), queue.name)
        yield queue


async def test_sessions_ended_by_the_database_cost_doubles_and_no_event(
    relay_side: RelaySide,
) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = 'rollbook relay'"
    async with outsider(relay_side) as other, relay_side.relaying():
        working = asyncio.create_task(record_for(relay_side, 3))
        for _ in range(8):
            await asyncio.sleep(0.3)
            await execute(relay_side.url, end, name_of(relay_side.url))
        await working
        await other.has(await relay_side.relayed())
    assert other.first_deliveries == await positions_of(relay_side)


async def test_a_relay_killed_before_its_checkpoint_sends_its_page_again(
    relay_side: RelaySide,
) -> None:
    async with outsider(relay_side) as other:
        await relay_side.record(30)
        async with relay_process(relay_side, "dies"):
            await other.has(await relay_side.events.feed.head())
        assert await relay_side.checkpoint() == 0
        async with relay_process(relay_side, "lives"):
            await relay_side.relayed()
            await asyncio.sleep(0.2)
        log = await positions_of(relay_side)
        assert other.positions == log + log
        assert other.first_deliveries == log


async def test_of_two_relays_one_leads_and_the_other_takes_over_without_a_gap(
    relay_side: RelaySide,
) -> None:
    async with outsider(relay_side) as other, relay_process(relay_side, "lives") as first:
        await relay_side.record(1)
        await relay_side.relayed()
        async with relay_process(relay_side, "lives"):
            working = asyncio.create_task(record_for(relay_side, 3))
            await asyncio.sleep(1)
            assert len(other.messages) == len(set(other.positions))
            first.kill()
            await working
            await other.has(await relay_side.relayed())
        assert other.first_deliveries == await positions_of(relay_side)


async def test_a_relay_that_was_frozen_meanwhile_moves_nothing(relay_side: RelaySide) -> None:
    async with outsider(relay_side) as other, relay_process(relay_side, "lives") as first:
        await relay_side.record(1)
        await relay_side.relayed()
        async with relay_process(relay_side, "lives"):
            with frozen(first.pid):
                await relay_side.record(200)
                head = await relay_side.relayed(timeout_seconds=10)
            await record_for(relay_side, 1)
            await other.has(await relay_side.relayed())
        assert await relay_side.checkpoint() >= head
        assert other.first_deliveries == await positions_of(relay_side)


@asynccontextmanager
async def relay_process(relay_side: RelaySide, how: str) -> AsyncGenerator[Process]:
    """A relay in a process of its own; one that `dies` ends before its first checkpoint."""
    urls = (relay_side.url, relay_side.amqp_url)
    async with process_of("tests.support.processes.relay", *urls, how) as process:
        yield process
        if how == "dies":
            await asyncio.wait_for(process.wait(), 10)
