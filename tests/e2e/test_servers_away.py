"""Redis or RabbitMQ is away: the other parts continue, the dependent parts catch up later."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Final

import httpx2
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.http.agreement import assert_views_are_a_fresh_fold, head
from tests.support.http.witnesses import Witnesses
from tests.support.servers.postgres import scaled
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rabbit import RabbitNode
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.rollbook import RunningRollbook, until

REDIS_AWAY_SECONDS: Final = min(scaled(3), 30)
RABBIT_AWAY_SECONDS: Final = min(scaled(3), 30)
# One poll a second, on a busy machine.
NOTICED_SECONDS: Final = 4.0
POLLED_SECONDS: Final = 1.5
CALLERS: Final = 4
PAUSE_SECONDS: Final = 0.04

QUERIES: Final = (
    "/v1/users/{user}",
    "/v1/users?q=Åsa&limit=10",
    "/v1/users?ids={user}",
    "/v1/users/{user}?version=1",
    "/v1/stats",
    "/v1/projections",
    "/v1/events?limit=10",
)


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture
def beside_redis(tmp_path: Path, redis: PrivateRedis) -> Iterator[RunningRollbook]:
    """Split, because only separate processes ring their doorbells through Redis."""
    with RunningRollbook(
        prepared(tmp_path / "data"), "--split", ROLLBOOK_REDIS_URL=redis.url
    ) as rollbook:
        yield rollbook


@pytest.fixture
def beside_rabbit(tmp_path: Path, rabbit: RabbitNode) -> Iterator[RunningRollbook]:
    with RunningRollbook(
        prepared(tmp_path / "data"), "--split", ROLLBOOK_AMQP_URL=rabbit.url
    ) as rollbook:
        yield rollbook


@asynccontextmanager
async def stopped(redis: PrivateRedis) -> AsyncGenerator[None]:
    redis.stop()
    try:
        yield
    finally:
        redis.start()


@asynccontextmanager
async def frozen(redis: PrivateRedis) -> AsyncGenerator[None]:
    redis.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        redis.signal(signal.SIGCONT)


@asynccontextmanager
async def without(rabbit: RabbitNode) -> AsyncGenerator[None]:
    await asyncio.to_thread(rabbit.stop)
    try:
        yield
    finally:
        # The server ends with the thread that launches it, so only the wait runs in another thread.
        rabbit.launch()
        await asyncio.to_thread(rabbit.start)


async def assert_queries_answer(client: httpx2.AsyncClient, user: str) -> None:
    """Each query answers with the state at the head of the log, or later."""
    headers = {"Rollbook-Min-Position": f"{await head(client)}"}
    for query in QUERIES:
        answer = await client.get(query.format(user=user), headers=headers)
        gone = answer.status_code == 410 and query == QUERIES[0]
        assert answer.status_code == 200 or gone, (query, answer.text)


async def assert_service_continues(witnesses: Witnesses, seconds: float) -> None:
    """Commands, queries, views and the stream work for that many seconds."""
    client = witnesses.load.client
    end = monotonic() + seconds
    while monotonic() < end:
        await witnesses.wait_for_accepted(1, timeout_seconds=NOTICED_SECONDS)
        await assert_queries_answer(client, witnesses.load.users()[-1])
        position = await head(client)
        await witnesses.reader.wait_for(position, NOTICED_SECONDS)
        await witnesses.wait_for_views(position, NOTICED_SECONDS)


async def seconds_until_current(client: httpx2.AsyncClient) -> float:
    """Until a view shows everything that was recorded before this call."""
    headers = {"Rollbook-Min-Position": f"{await head(client)}"}
    began = monotonic()
    answer = await client.get("/v1/users?limit=1", headers=headers)
    assert answer.status_code == 200, answer.text
    return monotonic() - began


def assert_no_caller_was_refused(witnesses: Witnesses) -> None:
    answers = [answer for one in witnesses.load.sent for answer in one.answers]
    assert [answer for answer in answers if not answer.accepted] == []


async def assert_views_are_fresh(rollbook: RunningRollbook) -> None:
    database = EmbeddedPostgres(rollbook.data_dir / "postgres").url
    await assert_views_are_a_fresh_fold(database, rollbook.master_key)


@pytest.mark.parametrize("away", [stopped, pytest.param(frozen, marks=pytest.mark.long)])
async def test_without_redis_queries_answer_and_streams_continue(
    beside_redis: RunningRollbook,
    redis: PrivateRedis,
    away: Callable[[PrivateRedis], AbstractAsyncContextManager[None]],
) -> None:
    async with Witnesses.of(beside_redis) as witnesses:
        await witnesses.load.start(CALLERS, pause_seconds=PAUSE_SECONDS)
        await assert_service_continues(witnesses, 0.5)
        assert redis.size() > 0
        async with away(redis):
            await assert_service_continues(witnesses, REDIS_AWAY_SECONDS)
        await asyncio.to_thread(until, lambda: redis.size() > 0)
        await assert_service_continues(witnesses, 0.5)
        await witnesses.assert_all_received()
        assert_no_caller_was_refused(witnesses)
        assert witnesses.reader.streams == 1
    await assert_views_are_fresh(beside_redis)


async def test_without_rabbitmq_the_service_continues_and_a_consumer_later_catches_up(
    beside_rabbit: RunningRollbook, rabbit: RabbitNode
) -> None:
    async with Witnesses.of(beside_rabbit, rabbit.url) as witnesses:
        assert witnesses.outsider is not None
        await witnesses.load.start(CALLERS, pause_seconds=PAUSE_SECONDS)
        await witnesses.wait_for_accepted(50)
        await witnesses.outsider.wait_for(await head(witnesses.load.client))
        async with without(rabbit):
            received = len(witnesses.outsider.messages)
            await assert_service_continues(witnesses, RABBIT_AWAY_SECONDS)
            # RabbitMQ wakes the projector, so now the poll of each second does.
            taken = [await seconds_until_current(witnesses.load.client) for _ in range(5)]
            assert median(taken) <= POLLED_SECONDS
            assert len(witnesses.outsider.messages) == received
        await witnesses.wait_for_accepted(50)
        await witnesses.assert_all_received()
        assert_no_caller_was_refused(witnesses)
        assert witnesses.reader.streams == 1
    await assert_views_are_fresh(beside_rabbit)
