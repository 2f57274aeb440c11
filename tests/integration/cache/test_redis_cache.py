"""The cache on a Redis that stops, freezes, forgets and is written to by others."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from application.cache.ports import CacheUnavailable, Mark, Miss, Step
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import UserDocument
from infrastructure.breaker import FIRST_PAUSE, MAX_PAUSE, CircuitBreaker
from infrastructure.cache.batch import BatchLoader
from infrastructure.cache.keys import FORMAT
from infrastructure.cache.redis_cache import RedisCache
from projections.headcount import HEADCOUNT
from projections.users import USERS
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.redis_admin import RedisAdmin
from tests.support.views.filling import (
    cached_user,
    mark_of,
    move,
    offer_user,
    position_of,
    start_over,
)
from tests.support.views.histories import YAN, ZOE

LOG_ID: Final = UUID("018f0000-0000-7000-8000-0123456789ab")
SLOT: Final = Slot(USERS)
USER_KEY: Final = f"rb{FORMAT}:{{main.0123456789ab.3.users.1.0}}:{ZOE}"
DOCUMENT: Final = UserDocument(7, "active", "2024-05-06T07:08:09.123456Z", b'{"name":"Zo\xc3\xab"}')
ERASED: Final = UserDocument(8, "erased", "2024-05-06T07:08:10.123456Z", b"")


@pytest.fixture(scope="module")
def any_server() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture
def server(any_server: PrivateRedis) -> PrivateRedis:
    """An empty server."""
    with RedisAdmin(any_server.url) as admin:
        admin.flush()
    return any_server


@pytest.fixture
async def cache(server: PrivateRedis) -> AsyncIterator[RedisCache]:
    async with RedisCache.open(server.url, LOG_ID, 3, ttl=100) as cache:
        await start_over(cache, SLOT, 5, repairs=2)
        await offer_user(cache, SLOT, ZOE, DOCUMENT, 5)
        yield cache


async def test_keys_and_values_have_this_format(server: PrivateRedis, cache: RedisCache) -> None:
    """Another format needs another `FORMAT`; else two releases read each other's values."""
    await move(cache, SLOT, 6, {YAN: ERASED})
    with RedisAdmin(server.url) as admin:
        contents = dict(admin.contents())
        seconds = {key: admin.seconds_left(key) for key in contents}
    users = f"rb{FORMAT}:{{main.0123456789ab.3.users.1.0}}:"
    incarnation, position, repairs = contents.pop(users + "pos").split(b":")
    assert (len(incarnation), position, repairs) == (16, b"6", b"2")
    assert contents == {
        users + str(ZOE): incarnation + b" 7 active 2024-05-06T07:08:09.123456Z\n" + DOCUMENT.body,
        users + str(YAN): incarnation + b" 8 erased 2024-05-06T07:08:10.123456Z\n",
    }
    assert 3500 < seconds.pop(users + "pos") <= 3600
    assert all(90 < left <= 100 for left in seconds.values())


@pytest.mark.parametrize("value", [b"", b"\n", b"1 2 3\n{}", b"{}", b"\xff\xfe", b"7" * 99])
async def test_a_value_written_by_another_program_is_a_miss(
    server: PrivateRedis, cache: RedisCache, value: bytes
) -> None:
    with RedisAdmin(server.url) as admin:
        admin.put(USER_KEY, value)
        assert await cached_user(cache, SLOT, ZOE) is None
        admin.put(USER_KEY.replace(str(ZOE), "pos"), value)
        assert await cache.slots.mark(SLOT) is None
        assert await cache.users.look_up(SLOT, ZOE) is None
    await start_over(cache, SLOT, 5)
    assert await position_of(cache, SLOT) == 5


async def test_an_erased_person_is_in_no_value_even_if_the_position_was_lost(
    server: PrivateRedis, cache: RedisCache
) -> None:
    """An invalid document stays under its key until the next step replaces it."""
    with RedisAdmin(server.url) as admin:
        admin.delete("*:pos")
        await start_over(cache, SLOT, 7)
        assert await cached_user(cache, SLOT, ZOE) is None
        assert DOCUMENT.body in admin.contents()[USER_KEY]
        await move(cache, SLOT, 8, {ZOE: ERASED})
        assert not [value for value in admin.contents().values() if b"Zo" in value]
    assert await cache.users.look_up(SLOT, ZOE) == Answer(ERASED, 8)


async def test_a_hundred_readers_share_a_few_round_trips(
    server: PrivateRedis, cache: RedisCache
) -> None:
    with RedisAdmin(server.url) as admin:
        before = admin.calls("mget")
        answers = await asyncio.gather(*(cache.users.look_up(SLOT, ZOE) for _ in range(100)))
        assert answers == [Answer(DOCUMENT, 5)] * 100
        assert admin.calls("mget") - before <= 2


async def test_a_cancelled_reader_does_not_cancel_the_others(cache: RedisCache) -> None:
    readers = [asyncio.create_task(cache.users.look_up(SLOT, ZOE)) for _ in range(3)]
    await asyncio.sleep(0)
    readers[0].cancel()
    assert await asyncio.gather(*readers[1:]) == [Answer(DOCUMENT, 5)] * 2


async def test_an_error_reaches_all_readers_of_the_shared_trip_and_no_later_one() -> None:
    trips: list[list[int]] = []

    async def fetch(asked: Sequence[int]) -> Sequence[int]:
        trips.append(list(asked))
        if len(trips) == 1:
            raise ValueError("broken")
        return trips[-1]

    loader = BatchLoader[int, int](fetch, max_batch=2)
    answers = await asyncio.gather(*(loader.load(n) for n in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError, ValueError, int, int, int]
    assert trips == [[0, 1], [2, 3], [4]]
    await loader.idle()


async def test_cut_connections_are_reopened(server: PrivateRedis, cache: RedisCache) -> None:
    with RedisAdmin(server.url) as admin:
        for _ in range(20):
            admin.cut_connections()
            await asyncio.sleep(0.002)
            assert await position_of(cache, SLOT) == 5
            admin.cut_connections()
            await asyncio.sleep(0.002)
            assert await cache.users.look_up(SLOT, ZOE) == Answer(DOCUMENT, 5)


async def test_scripts_that_the_server_forgot_are_sent_again(
    server: PrivateRedis, cache: RedisCache
) -> None:
    with RedisAdmin(server.url) as admin:
        admin.flush_scripts()
    await move(cache, SLOT, 6)
    await start_over(cache, SLOT, 7)
    assert await position_of(cache, SLOT) == 7


def duration() -> Callable[[], float]:
    began = asyncio.get_running_loop().time()
    return lambda: asyncio.get_running_loop().time() - began


async def test_a_server_that_is_away_costs_no_time(server: PrivateRedis, cache: RedisCache) -> None:
    miss = Miss(SLOT, ZOE, await mark_of(cache, SLOT))
    with capture_logs() as logs:
        server.stop()
        took = duration()
        for _ in range(50):
            assert await cache.users.look_up(SLOT, ZOE) is None
            cache.users.offer(miss, Answer(DOCUMENT, 5))
            assert await cache.stats.look_up(Slot(HEADCOUNT), "2024-05-06") is None
        assert took() < 0.3
        server.start()
        with RedisAdmin(server.url) as admin:
            admin.put(USER_KEY.replace(str(ZOE), "pos"), b"ab:5:0")
            admin.put(USER_KEY, b"ab 7 active 2024-05-06T07:08:09.123456Z\n" + DOCUMENT.body)
        async with asyncio.timeout(2 * FIRST_PAUSE):
            while await cache.users.look_up(SLOT, ZOE) != Answer(DOCUMENT, 5):
                await asyncio.sleep(0.02)
    assert [entry["event"] for entry in logs] == ["cache_away", "cache_back"]


async def test_readers_wait_a_tenth_of_a_second_for_a_frozen_server(
    server: PrivateRedis, cache: RedisCache
) -> None:
    server.signal(signal.SIGSTOP)
    try:
        took = duration()
        answers = await asyncio.gather(*(cache.users.look_up(SLOT, ZOE) for _ in range(300)))
        assert answers == [None] * 300
        assert took() < 0.4
        took = duration()
        assert await cache.users.look_up(SLOT, ZOE) is None
        assert took() < 0.05
    finally:
        server.signal(signal.SIGCONT)
    async with asyncio.timeout(2 * FIRST_PAUSE):
        while await cache.users.look_up(SLOT, ZOE) != Answer(DOCUMENT, 5):
            await asyncio.sleep(0.02)


async def test_followers_get_an_error_when_the_server_is_away(
    server: PrivateRedis, cache: RedisCache
) -> None:
    mark = await mark_of(cache, SLOT)
    server.stop()
    try:
        with pytest.raises(CacheUnavailable):
            await cache.slots.mark(SLOT)
        with pytest.raises(CacheUnavailable):
            await cache.slots.begin(SLOT, mark, 5, 0)
        with pytest.raises(CacheUnavailable):
            await cache.slots.advance(SLOT, mark, Step(reached=6, read_at=6, users={}))
    finally:
        server.start()


async def test_a_cache_opens_and_closes_without_a_server() -> None:
    async with RedisCache.open("redis://127.0.0.1:9/0", uuid7(), 1) as cache:
        assert await cache.users.look_up(SLOT, ZOE) is None
        cache.users.offer(Miss(SLOT, ZOE, Mark(b"ab", 5, 0)), Answer(DOCUMENT, 5))


async def test_the_pause_grows_with_each_failure_and_ends_with_the_first_success() -> None:
    now = 0.0
    breaker = CircuitBreaker("cache", 1, clock=lambda: now)

    async def fail() -> None:
        raise ConnectionError

    async def succeed() -> str:
        return "done"

    pauses: list[float] = []
    for _ in range(6):
        assert await breaker.attempt(fail) is None
        began = now
        while breaker.is_open:
            assert await breaker.attempt(succeed) is None
            now += 0.25
        pauses.append(now - began)
    assert pauses == [FIRST_PAUSE, 1, 2, 4, MAX_PAUSE, MAX_PAUSE]
    assert await breaker.attempt(succeed) == "done"
    assert await breaker.attempt(fail) is None
    now += FIRST_PAUSE
    assert await breaker.attempt(succeed) == "done"
