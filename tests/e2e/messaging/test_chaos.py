"""Everything at once: brokers restart, workers and relay are killed, a queue refuses, Redis is emptied.

Afterwards each event has started its reaction exactly once, in order for each user, the views are what
the log says, and an outside consumer has every event.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aio_pika
import pytest

from tests.support.http.agreement import assert_views_are_a_fresh_fold
from tests.support.http.load import unaccepted
from tests.support.http.witnesses import Witnesses
from tests.support.jobs.relaying import EXCHANGE
from tests.support.processes.witness_worker import FILE, NAME
from tests.support.servers.cluster import Cluster, role_module
from tests.support.servers.postgres import MASTER_KEYS, scaled
from tests.support.servers.rabbit import RabbitNode
from tests.support.servers.redis import PrivateRedis
from tests.support.servers.rollbook import rollbook_command
from tests.support.views.directory import execute

COMMANDS: Final = scaled(500)
CALLERS: Final = 8
# A caller whose command met a fault, or too many others on the same user, sends it again.
REPEATS: Final = 5
RESTARTS: Final = 5
KILLS: Final = ("worker-1", "worker-2", "relay")
KILLS_EACH: Final = 2
# A dead worker's runs are found after twelve seconds.
FINISHED_SECONDS: Final = 120.0

_READY: Final = (
    f"SELECT count(*) FROM reactions WHERE name = '{NAME}' AND enabled AND missing IS NULL"
)
_UNFINISHED: Final = (
    f"SELECT count(*) FROM reaction_runs WHERE reaction = '{NAME}' AND finished_at IS NULL"
)
_RUNS: Final = f"""
SELECT e.event_id, count(r.event_id), min(r.state)
FROM stored_events e
LEFT JOIN reaction_runs r ON r.event_id = e.event_id AND r.reaction = '{NAME}'
WHERE e.kind = 'user' AND e.notification_id > (SELECT enabled_from FROM reactions WHERE name = '{NAME}')
GROUP BY e.event_id"""
_QUEUED_TWICE: Final = """
SELECT args FROM procrastinate_jobs WHERE queue_name = 'reactions'
GROUP BY args HAVING count(*) > 1"""


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """The file of the test's reaction."""
    return tmp_path / "witness"


@pytest.fixture
def cluster(
    database_url: str, private_redis: PrivateRedis, rabbit: RabbitNode, lines: Path
) -> Iterator[Cluster]:
    worker = role_module("tests.support.processes.witness_worker", "worker")
    commands = {
        "projector": rollbook_command("projector"),
        "relay": rollbook_command("relay"),
        "worker-1": worker,
        "worker-2": worker,
    }
    settings = {
        "ROLLBOOK_DATABASE_URL": database_url,
        "ROLLBOOK_REDIS_URL": private_redis.url,
        "ROLLBOOK_AMQP_URL": rabbit.url,
        FILE: str(lines),
    }
    with Cluster(commands, **settings) as cluster:
        yield cluster


@pytest.mark.long
async def test_after_everything_failed_each_event_has_had_its_effects(
    cluster: Cluster,
    database_url: str,
    private_redis: PrivateRedis,
    rabbit: RabbitNode,
    lines: Path,
) -> None:
    await _until_zero(database_url, f"SELECT 1 - ({_READY})", 60)
    async with (
        Witnesses.of(cluster, rabbit.url) as witnesses,
        _queue_that_refuses(rabbit.url),
    ):
        await witnesses.load.start(CALLERS)
        killed = random.sample(KILLS * 4, RESTARTS * KILLS_EACH)
        for round_ in range(RESTARTS):
            await witnesses.wait_for_accepted(COMMANDS // RESTARTS // 2)
            await asyncio.to_thread(rabbit.stop)
            for name in killed[KILLS_EACH * round_ : KILLS_EACH * (round_ + 1)]:
                cluster.kill(name)
                await asyncio.sleep(random.uniform(0, 0.5))
            rabbit.launch()
            if round_ == RESTARTS // 2:
                private_redis.flush()
            await witnesses.wait_for_accepted(COMMANDS // RESTARTS // 2)
        await witnesses.load.stop()
        for _ in range(REPEATS):
            await witnesses.load.repeat(unaccepted(witnesses.load.sent))
        await witnesses.assert_all_received()
        assert len(await execute(database_url, "SELECT 1 FROM relay_rejected LIMIT 1")) == 1
        await _until_zero(database_url, _UNFINISHED, FINISHED_SECONDS)
    await _assert_each_event_reacted_once_and_in_order(database_url, lines)
    await assert_views_are_a_fresh_fold(database_url, MASTER_KEYS)


async def _assert_each_event_reacted_once_and_in_order(database_url: str, lines: Path) -> None:
    runs = await execute(database_url, _RUNS)
    assert len(runs) >= COMMANDS
    assert {(count, state) for _, count, state in runs} == {(1, "done")}
    assert await execute(database_url, _QUEUED_TWICE) == []
    # The effect is there at least once; a repeat comes before the user's next event.
    orders = defaultdict[str, list[int]](list)
    events = set[str]()
    for line in lines.read_text().splitlines():
        user, position, event = line.split()
        orders[user].append(int(position))
        events.add(event)
    assert events == {str(event) for event, _, _ in runs}
    assert [order for order in orders.values() if order != sorted(order)] == []


async def _until_zero(database_url: str, question: str, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while (await execute(database_url, question))[0][0]:
            await asyncio.sleep(0.2)


@asynccontextmanager
async def _queue_that_refuses(amqp_url: str) -> AsyncGenerator[None]:
    """A durable queue of another party that is full, also after the broker restarted."""
    name = "another-party"
    arguments: dict[str, str | int] = {"x-max-length": 1, "x-overflow": "reject-publish"}
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
        queue = await channel.declare_queue(name, durable=True, arguments=dict(arguments))
        await queue.bind(exchange, "user.email_changed")
        await queue.bind(exchange, "user.renamed")
        full = aio_pika.Message(b"full", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(full, name)
    try:
        yield
    finally:
        async with await aio_pika.connect(amqp_url) as connection:
            await (await connection.channel()).queue_delete(name)
