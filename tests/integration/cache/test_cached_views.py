"""The cache before real views, under load: no answer is stale, wrong or of somebody erased."""

import asyncio
import random
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest

from application.projector.view_store import Slot
from domain.user.events import PreviousName, UserErased, UserRenamed
from projections.users import USERS
from tests.support.run.background import process_of
from tests.support.servers.postgres import scaled
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.redis_admin import RedisAdmin
from tests.support.views.caching import CachedSide, People, Seen, lies, read_on
from tests.support.views.caching_lists import SeenPage, lies_of_lists, listers


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture
async def side(database_url: str, redis: PrivateRedis) -> AsyncIterator[CachedSide]:
    async with CachedSide.open(database_url, redis.url) as side:
        yield side


@asynccontextmanager
async def readers(side: CachedSide, people: People) -> AsyncGenerator[list[Seen]]:
    """Some who read all the time; what they saw."""
    seen: list[Seen] = []
    tasks = [asyncio.create_task(read_on(side, people, seen)) for _ in range(6)]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def process(database_url: str, redis_url: str) -> AbstractAsyncContextManager[Process]:
    """Projectors and followers of the cache, in a process of their own."""
    return process_of("tests.support.processes.caching", database_url, redis_url)


async def test_with_a_cache_and_without_the_directory_answers_alike(side: CachedSide) -> None:
    people, now = People(side.read_side), datetime.now(UTC)
    async with side.read_side.projecting(), side.following():
        await people.live(scaled(1))
        head = await side.caught_up()
        for user_id in people.ids:
            plain = await side.views.user(user_id, at_least=head)
            kept = None
            async with asyncio.timeout(30):
                # Redis may be given up for a moment where the machine is busy.
                while kept is None:
                    assert await side.documents.user(user_id, at_least=head) == plain
                    await side.cache.idle()
                    kept = await side.cache.users.look_up(Slot(USERS), user_id)
            assert kept == plain
            assert await side.documents.user(user_id, at_least=head) == plain
        counted = await side.views.stats(now, at_least=head)
        for _ in range(2):
            assert await side.documents.stats(now, at_least=head) == counted


async def test_one_reads_ones_own_write_through_the_cache(side: CachedSide) -> None:
    people = People(side.read_side)
    async with side.read_side.projecting(), side.following():
        for _ in range(20):
            user_id = await people.one_life()
            at_least = people.last[user_id]
            user = await side.documents.user(user_id, at_least=at_least)
            stats = await side.documents.stats(datetime.now(UTC), at_least=at_least)
            assert min(user.position, stats.position) >= at_least
            assert msgspec.json.decode(stats.value)["total"] == len(people.ids)


async def test_a_cache_that_is_flushed_and_cut_off_all_the_time_never_lies(
    side: CachedSide, redis: PrivateRedis
) -> None:
    people = People(side.read_side)

    async def break_it() -> None:
        with RedisAdmin(redis.url) as admin:
            faults = [
                admin.flush,
                admin.cut_connections,
                admin.forget_scripts,
                admin.forget_some,
                lambda: admin.forget("*:pos"),
            ]
            while True:
                await asyncio.sleep(random.uniform(0.01, 0.1))
                random.choice(faults)()

    async with side.read_side.projecting(), side.following(), readers(side, people) as seen:
        breaking = asyncio.create_task(break_it())
        await people.live(scaled(3))
        breaking.cancel()
        await side.caught_up()
    assert len(seen) > 20
    assert await lies(side, seen) == []


async def test_a_cache_whose_followers_are_killed_between_view_and_cache_never_lies(
    side: CachedSide, redis: PrivateRedis
) -> None:
    people = People(side.read_side)
    async with readers(side, people) as seen:
        living = asyncio.create_task(people.live(scaled(4)))
        while not living.done():
            async with process(side.read_side.url, redis.url):
                await asyncio.wait([living], timeout=random.uniform(0.3, 1.5))
        async with process(side.read_side.url, redis.url):
            await side.caught_up()
    assert len(seen) > 20
    assert await lies(side, seen) == []


async def test_who_is_erased_while_everybody_reads_them_is_in_no_answer_and_in_no_value_after(
    side: CachedSide, redis: PrivateRedis
) -> None:
    """The readers miss, because the cache keeps forgetting, and offer what they read just before."""
    people = People(side.read_side)
    with RedisAdmin(redis.url) as admin:
        async with side.read_side.projecting(), side.following():
            for _ in range(scaled(10)):
                name = random.choice(["Ångström", "李雷", "Noether"])
                user_id = await people.register()
                renamed = UserRenamed(name=name, previous=PreviousName("Zoë"))
                await people.record(user_id, 1, renamed)
                async with readers(side, people) as seen:
                    for _ in range(10):
                        await asyncio.sleep(random.uniform(0, 0.005))
                        admin.forget(f"*:{user_id}")
                    await people.record(user_id, 2, UserErased())
                    for _ in range(10):
                        await asyncio.sleep(random.uniform(0, 0.005))
                        admin.forget(f"*:{user_id}")
                    erased_at = await side.caught_up()
                    await side.cache.idle()
                    values = admin.contents(f"*:{user_id}").values()
                    assert not [value for value in values if name.encode() in value]
                late = [one for one in seen if one.position >= erased_at]
                assert {one.document and one.document.status for one in late} <= {"erased"}
                assert await lies(side, seen) == []


async def test_lists_never_lie_while_the_server_evicts_and_forgets_all_the_time(
    side: CachedSide, redis: PrivateRedis
) -> None:
    people, pages, pause = People(side.read_side), list[SeenPage](), 0.1

    async def break_it() -> None:
        with RedisAdmin(redis.url) as admin:
            while True:
                await asyncio.sleep(random.uniform(pause / 2, 1.5 * pause))
                random.choice([admin.overfill, admin.overfill, admin.flush])()

    async with side.read_side.projecting(), side.following(), readers(side, people) as seen:
        with RedisAdmin(redis.url) as admin:
            before = admin.evicted()
            tasks = [
                asyncio.create_task(each) for each in (break_it(), *listers(side, people, pages))
            ]
            async with asyncio.timeout(60 + scaled(2)):
                await people.live(scaled(2))
                while min(side.cache.counts.pages.hits, side.cache.counts.users.hits) <= 10:
                    # A busy machine keeps hardly anything between two faults.
                    pause *= 1.5
                    await people.live(0.5)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [each for each in ended if not isinstance(each, asyncio.CancelledError)] == []
            assert admin.evicted() > before
        await side.caught_up()
    assert await lies(side, seen) == []
    assert await lies_of_lists(side, pages) == []
