"""The relay from a real Postgres to a real RabbitMQ: under any fault no consumer misses an event."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

import aio_pika
import pytest
from structlog.testing import capture_logs

from infrastructure.bus.rabbitmq import RabbitMQBus
from tests.support.jobs.relaying import (
    EXCHANGE,
    RelaySide,
    outsider,
    positions_of,
    relay_process,
)
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
async def relay_on_node(database_url: str, rabbit: RabbitNode) -> AsyncIterator[RelaySide]:
    """A relay on a broker of its own, which the test may stop."""
    async with RelaySide.open(database_url, rabbit.url) as relay_side:
        yield relay_side


async def record_for(relay_side: RelaySide, seconds: float) -> None:
    """Record users for some time, some hundred a second."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        await relay_side.record(20)
        await asyncio.sleep(0.05)


async def test_an_outsider_gets_every_event_once_in_order_and_sealed(relay_side: RelaySide) -> None:
    async with outsider(relay_side) as other, relay_side.relaying():
        await relay_side.record(700)
        await other.wait_for(await relay_side.wait_until_relayed())
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


async def test_a_new_event_is_relayed_at_once(relay_side: RelaySide) -> None:
    async with outsider(relay_side) as other, relay_side.relaying():
        await relay_side.record(1)
        await other.wait_for(await relay_side.wait_until_relayed())
        began = asyncio.get_running_loop().time()
        (recorded,) = await relay_side.record(1)
        await other.wait_for(recorded.position)
        assert asyncio.get_running_loop().time() - began < 0.5


@pytest.mark.long
async def test_a_broker_that_is_stopped_and_started_costs_time_and_nothing_else(
    relay_on_node: RelaySide, rabbit: RabbitNode
) -> None:
    with capture_logs() as logs:
        async with outsider(relay_on_node) as other, relay_on_node.relaying():
            working = asyncio.create_task(record_for(relay_on_node, AWAY_SECONDS + 3))
            await asyncio.sleep(0.5)
            await asyncio.to_thread(rabbit.stop)
            checkpoint = await relay_on_node.checkpoint()
            await asyncio.sleep(AWAY_SECONDS)
            assert await relay_on_node.checkpoint() == checkpoint
            rabbit.launch()
            await working
            await other.wait_for(await relay_on_node.wait_until_relayed())
        assert other.first_deliveries == await positions_of(relay_on_node)
    logged = [entry["event"] for entry in logs if entry["event"].startswith("broker")]
    assert logged == ["broker_away", "broker_back"]


async def test_a_broker_that_is_killed_costs_time_and_nothing_else(
    relay_on_node: RelaySide, rabbit: RabbitNode
) -> None:
    # A RabbitMQ that is killed forgets a quorum queue that is younger than some seconds.
    classic = {"x-queue-type": "classic"}
    async with outsider(relay_on_node, **classic) as other, relay_on_node.relaying():
        working = asyncio.create_task(record_for(relay_on_node, 3))
        await asyncio.sleep(1)
        rabbit.kill()
        rabbit.launch()
        await working
        await other.wait_for(await relay_on_node.wait_until_relayed())
    assert other.first_deliveries == await positions_of(relay_on_node)


@pytest.mark.long
async def test_connections_that_the_broker_closes_are_reopened(
    relay_on_node: RelaySide, rabbit: RabbitNode
) -> None:
    async with outsider(relay_on_node) as other, relay_on_node.relaying():
        working = asyncio.create_task(record_for(relay_on_node, 8))
        for _ in range(2):
            await asyncio.to_thread(rabbit.close_connections)
        await working
        await other.wait_for(await relay_on_node.wait_until_relayed())
    assert other.first_deliveries == await positions_of(relay_on_node)


@pytest.mark.long
async def test_the_relay_reconnects_to_a_broker_that_was_frozen(
    relay_on_node: RelaySide, rabbit: RabbitNode
) -> None:
    bus = RabbitMQBus(relay_on_node.amqp_url, timeout_seconds=0.5)
    async with outsider(relay_on_node) as other, relay_on_node.relaying(bus):
        await relay_on_node.record(10)
        await relay_on_node.wait_until_relayed()
        with frozen(rabbit.process):
            await relay_on_node.record(10)
            await asyncio.sleep(AWAY_SECONDS)
            assert await relay_on_node.checkpoint() < await relay_on_node.events.feed.head()
        await other.wait_for(await relay_on_node.wait_until_relayed())
    assert other.first_deliveries == await positions_of(relay_on_node)


async def test_a_deleted_exchange_is_declared_again(relay_side: RelaySide) -> None:
    async with relay_side.relaying():
        await relay_side.record(1)
        await relay_side.wait_until_relayed()
        async with await aio_pika.connect(relay_side.amqp_url) as connection:
            channel = await connection.channel()
            await channel.exchange_delete(EXCHANGE)
        await relay_side.record(1)
        await relay_side.wait_until_relayed()
        async with outsider(relay_side) as other:
            (recorded,) = await relay_side.record(1)
            await other.wait_for(recorded.position)


async def test_sessions_ended_by_the_database_cause_duplicates_but_lose_no_event(
    relay_side: RelaySide,
) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND starts_with(application_name, 'rollbook')"
    async with outsider(relay_side) as other, relay_side.relaying():
        working = asyncio.create_task(record_for(relay_side, 3))
        for _ in range(8):
            await asyncio.sleep(0.3)
            await execute(relay_side.url, end, name_of(relay_side.url))
        await working
        await other.wait_for(await relay_side.wait_until_relayed())
    assert other.first_deliveries == await positions_of(relay_side)


async def test_a_relay_killed_before_its_checkpoint_sends_its_page_again(
    relay_side: RelaySide,
) -> None:
    async with outsider(relay_side) as other:
        await relay_side.record(30)
        async with relay_process(relay_side, "dies"):
            await other.wait_for(await relay_side.events.feed.head())
        assert await relay_side.checkpoint() == 0
        async with relay_process(relay_side, "lives"):
            await relay_side.wait_until_relayed()
            await asyncio.sleep(0.2)
        log = await positions_of(relay_side)
        assert other.positions == log + log
        assert other.first_deliveries == log


async def test_a_second_relay_takes_over_from_the_leader_without_a_gap(
    relay_side: RelaySide,
) -> None:
    async with outsider(relay_side) as other, relay_process(relay_side, "lives") as first:
        await relay_side.record(1)
        await relay_side.wait_until_relayed()
        async with relay_process(relay_side, "lives"):
            working = asyncio.create_task(record_for(relay_side, 3))
            await asyncio.sleep(1)
            assert len(other.messages) == len(set(other.positions))
            first.kill()
            await working
            await other.wait_for(await relay_side.wait_until_relayed())
        assert other.first_deliveries == await positions_of(relay_side)


async def test_a_relay_that_was_frozen_does_not_move_the_checkpoint_back(
    relay_side: RelaySide,
) -> None:
    async with outsider(relay_side) as other, relay_process(relay_side, "lives") as first:
        await relay_side.record(1)
        await relay_side.wait_until_relayed()
        async with relay_process(relay_side, "lives"):
            with frozen(first.pid):
                await relay_side.record(200)
                head = await relay_side.wait_until_relayed(timeout_seconds=10)
            await record_for(relay_side, 1)
            await other.wait_for(await relay_side.wait_until_relayed())
        assert await relay_side.checkpoint() >= head
        assert other.first_deliveries == await positions_of(relay_side)
