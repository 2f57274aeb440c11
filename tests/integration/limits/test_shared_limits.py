"""Limits across processes in a real Redis, and while it is away or frozen."""

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from time import monotonic
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from application.access.limits import SIGN_IN, Limits
from application.access.limits_sums import INTERVAL_SECONDS
from application.access.limits_windows import Attempts
from infrastructure.limits.redis import RedisLimits
from tests.support.servers.redis import PrivateRedis, private_redis, redis_url
from tests.support.servers.redis_admin import RedisAdmin

ADDRESS = "address:192.0.2.7"


def mac(value: bytes) -> bytes:
    return hashlib.blake2b(value, key=b"index").digest()


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    with redis_url() as url:
        yield url


@pytest.fixture
def own_redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def opened(stack: AsyncExitStack, url: str, count: int = 2) -> list[RedisLimits]:
    """The limits of so many processes of one log."""
    log = uuid4()
    return [await stack.enter_async_context(RedisLimits.open(url, log, mac)) for _ in range(count)]


async def test_sums_are_those_of_all_processes_and_of_one_log(
    stack: AsyncExitStack, redis: str
) -> None:
    here, there = await opened(stack, redis)
    assert await here.add({"a": 3, "b": 1}) == {"a": 3, "b": 1}
    assert await there.add({"a": 4}) == {"a": 7}
    assert await here.add({"a": 1, "c": 2}) == {"a": 8, "c": 2}
    (other_log,) = await opened(stack, redis, 1)
    assert await other_log.add({"a": 1}) == {"a": 1}


async def test_two_processes_keep_one_limit(stack: AsyncExitStack, redis: str) -> None:
    both = await opened(stack, redis)
    limits = [Limits(100, shared) for shared in both]
    shares = [each.shared(shared) for each, shared in zip(limits, both, strict=True)]
    began, admitted = monotonic(), 0
    due = began
    while (took := monotonic() - began) < 3:
        for each in limits:
            admitted += sum(each.callers.take("token:crm") >= 0 for _ in range(20))
        if monotonic() >= due:
            due += INTERVAL_SECONDS
            for share in shares:
                await share.round()
        await asyncio.sleep(0.02)
    # Alone, each would admit its burst and the rate: 1,000 together. They hear after a second.
    assert 100 * took <= admitted <= 2 * (200 + 100) + 100 * (took - 1)


async def test_sign_in_is_counted_in_all_processes(stack: AsyncExitStack, redis: str) -> None:
    attempts = [Attempts(SIGN_IN, shared) for shared in await opened(stack, redis)]
    waits = [await attempts[number % 2].attempt(ADDRESS) for number in range(14)]
    assert waits[:10] == [0] * 10
    assert all(55 < wait <= 60 for wait in waits[10:])
    assert await attempts[0].attempt("address:192.0.2.8") == 0


async def test_redis_holds_no_address_and_everything_expires(
    stack: AsyncExitStack, own_redis: PrivateRedis
) -> None:
    (shared,) = await opened(stack, own_redis.url, 1)
    await shared.add({ADDRESS: 1, "token:crm": 1})
    await shared.attempt(SIGN_IN, ADDRESS)
    with RedisAdmin(own_redis.url) as admin:
        keys = admin.keys()
        assert len(keys) == 3
        for key in keys:
            assert key.startswith("rollbook:main.")
            assert "192.0.2.7" not in key
            assert "crm" not in key
            assert 0 < admin.seconds_left(key) <= 60
        assert b"192.0.2.7" not in b"".join(admin.dump().values())


async def test_while_redis_is_away_each_process_limits_alone(
    stack: AsyncExitStack, own_redis: PrivateRedis
) -> None:
    here, there = await opened(stack, own_redis.url)
    attempts = [Attempts(SIGN_IN, shared) for shared in (here, there)]
    own_redis.stop()
    with capture_logs() as logs:
        for each in attempts:
            waits = [await each.attempt(ADDRESS) for _ in range(12)]
            assert [wait > 0 for wait in waits] == [False] * 10 + [True] * 2
        assert await here.add({"a": 1}) == {}
        own_redis.start()
        async with asyncio.timeout(10):
            while not (await here.add({"a": 1}) and await there.add({"a": 1})):
                await asyncio.sleep(0.05)
    assert sorted(entry["event"] for entry in logs) == [*["limits_away"] * 2, *["limits_back"] * 2]
    assert "192.0.2.7" not in str(logs)


async def test_a_frozen_redis_delays_a_sign_in_for_a_fraction_of_a_second(
    stack: AsyncExitStack, own_redis: PrivateRedis
) -> None:
    (shared,) = await opened(stack, own_redis.url, 1)
    assert await shared.attempt(SIGN_IN, ADDRESS) == 0
    own_redis.signal(signal.SIGSTOP)
    began = monotonic()
    assert [await shared.attempt(SIGN_IN, ADDRESS) for _ in range(20)] == [0] * 20
    assert await shared.add({"a": 1}) == {}
    took = monotonic() - began
    own_redis.signal(signal.SIGCONT)
    assert took < 1
    async with asyncio.timeout(10):
        while not await shared.add({"a": 1}):
            await asyncio.sleep(0.05)
