"""The cache in front of real views, under load: no answer is stale, wrong or of an erased user."""

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
from tests.support.run.background import module_process
from tests.support.servers.postgres import scaled
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.redis_admin import RedisAdmin
from tests.support.views.caching import CachedSide, People, SeenAnswer, keep_reading, wrong_answers
from tests.support.views.caching_lists import SeenPage, list_readers, wrong_pages


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture
async def side(database_url: str, redis: PrivateRedis) -> AsyncIterator[CachedSide]:
    async with CachedSide.open(database_url, redis.url) as side:
        yield side


@asynccontextmanager
async def readers(side: CachedSide, people: People) -> AsyncGenerator[list[SeenAnswer]]:
    """Readers that read all the time; yields what they saw."""
    seen: list[SeenAnswer] = []
    tasks = [asyncio.create_task(keep_reading(side, people, seen)) for _ in range(6)]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def process(database_url: str, redis_url: str) -> AbstractAsyncContextManager[Process]:
    """Projectors and cache followers in a separate process."""
    return module_process("tests.support.processes.caching", database_url, redis_url)


async def test_the_directory_answers_the_same_with_and_without_a_cache(side: CachedSide) -> None:
    people, now = People(side.read_side), datetime.now(UTC)
    async with side.read_side.projecting(), side.following():
        await people.record_users(scaled(1))
        head = await side.caught_up()
        for user_id in people.ids:
            plain = await side.views.user(user_id, at_least=head)
            cached = None
            async with asyncio.timeout(30):
                # On a busy machine the cache may stop using Redis for a moment.
                while cached is None:
                    assert await side.documents.user(user_id, at_least=head) == plain
                    await side.cache.idle()
                    cached = await side.cache.users.look_up(Slot(USERS), user_id)
            assert cached == plain
            assert await side.documents.user(user_id, at_least=head) == plain
        counted = await side.views.stats(now, at_least=head)
        for _ in range(2):
            assert await side.documents.stats(now, at_least=head) == counted


async def test_a_caller_reads_its_own_write_through_the_cache(side: CachedSide) -> None:
    people = People(side.read_side)
    async with side.read_side.projecting(), side.following():
        for _ in range(20):
            user_id = await people.record_one_user()
            at_least = people.last[user_id]
            user = await side.documents.user(user_id, at_least=at_least)
            stats = await side.documents.stats(datetime.now(UTC), at_least=at_least)
            assert min(user.position, stats.position) >= at_least
            assert msgspec.json.decode(stats.value)["total"] == len(people.ids)


async def test_a_cache_that_is_flushed_and_disconnected_all_the_time_is_never_wrong(
    side: CachedSide, redis: PrivateRedis
) -> None:
    people = People(side.read_side)

    async def break_it() -> None:
        with RedisAdmin(redis.url) as admin:
            faults = [
                admin.flush,
                admin.cut_connections,
                admin.flush_scripts,
                admin.delete_half,
                lambda: admin.delete("*:pos"),
            ]
            while True:
                await asyncio.sleep(random.uniform(0.01, 0.1))
                random.choice(faults)()

    async with side.read_side.projecting(), side.following(), readers(side, people) as seen:
        breaking = asyncio.create_task(break_it())
        await people.record_users(scaled(3))
        breaking.cancel()
        await side.caught_up()
    assert len(seen) > 20
    assert await wrong_answers(side, seen) == []


async def test_a_cache_whose_followers_are_killed_between_view_and_cache_is_never_wrong(
    side: CachedSide, redis: PrivateRedis
) -> None:
    people = People(side.read_side)
    async with readers(side, people) as seen:
        living = asyncio.create_task(people.record_users(scaled(4)))
        while not living.done():
            async with process(side.read_side.url, redis.url):
                await asyncio.wait([living], timeout=random.uniform(0.3, 1.5))
        async with process(side.read_side.url, redis.url):
            await side.caught_up()
    assert len(seen) > 20
    assert await wrong_answers(side, seen) == []


async def test_a_user_erased_under_many_reads_is_in_no_later_answer_or_value(
    side: CachedSide, redis: PrivateRedis
) -> None:
    """Readers miss because the cache forgets all the time, and offer what they read just before."""
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
                        admin.delete(f"*:{user_id}")
                    await people.record(user_id, 2, UserErased())
                    for _ in range(10):
                        await asyncio.sleep(random.uniform(0, 0.005))
                        admin.delete(f"*:{user_id}")
                    erased_at = await side.caught_up()
                    await side.cache.idle()
                    values = admin.contents(f"*:{user_id}").values()
                    assert not [value for value in values if name.encode() in value]
                late = [one for one in seen if one.position >= erased_at]
                assert {one.document and one.document.status for one in late} <= {"erased"}
                assert await wrong_answers(side, seen) == []


async def test_lists_are_never_wrong_while_the_server_evicts_and_forgets_all_the_time(
    side: CachedSide, redis: PrivateRedis
) -> None:
    people, pages, pause = People(side.read_side), list[SeenPage](), 0.1

    async def break_it() -> None:
        with RedisAdmin(redis.url) as admin:
            while True:
                await asyncio.sleep(random.uniform(pause / 2, 1.5 * pause))
                random.choice([admin.force_evictions, admin.force_evictions, admin.flush])()

    async with side.read_side.projecting(), side.following(), readers(side, people) as seen:
        with RedisAdmin(redis.url) as admin:
            before = admin.evicted()
            tasks = [
                asyncio.create_task(each)
                for each in (break_it(), *list_readers(side, people, pages))
            ]
            async with asyncio.timeout(60 + scaled(2)):
                await people.record_users(scaled(2))
                while min(side.cache.counts.pages.hits, side.cache.counts.users.hits) <= 10:
                    # On a busy machine almost nothing stays cached between two faults.
                    pause *= 1.5
                    await people.record_users(0.5)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [each for each in ended if not isinstance(each, asyncio.CancelledError)] == []
            assert admin.evicted() > before
        await side.caught_up()
    assert await wrong_answers(side, seen) == []
    assert await wrong_pages(side, pages) == []
