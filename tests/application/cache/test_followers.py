"""The followers of the cache copy every change up to the position of the view, and none beyond."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from application.cache.followers import (
    StatsCacheFollower,
    UserCacheFollower,
    run_stats_cache,
    run_user_cache,
)
from application.cache.ports import CacheUnavailable, Step
from application.doorbell import view_bell
from application.projector.view_store import Slot
from infrastructure.doorbell.memory import MemoryDoorbell
from projections.headcount import HEADCOUNT
from tests.support.doubles.cache import MemoryStatsCache, MemoryUserCache
from tests.support.run.background import in_background
from tests.support.views.cache_model import SLOTS, USER_IDS, World

ZOE, YAN = USER_IDS[:2]
SLOT = next(slot for slot in SLOTS if slot.holds(ZOE))


class Breaking(MemoryUserCache):
    """A cache that can be unavailable."""

    def __init__(self) -> None:
        super().__init__()
        self.is_unavailable = False

    async def position(self, slot: Slot[Any]) -> int | None:
        if self.is_unavailable:
            raise CacheUnavailable
        return await super().position(slot)

    async def advance(self, slot: Slot[Any], step: Step) -> None:
        if self.is_unavailable:
            raise CacheUnavailable
        await super().advance(slot, step)


async def version(cache: MemoryUserCache) -> int | None:
    """The cached version of Zoë."""
    answer = await cache.look_up(SLOT, ZOE)
    return answer.value.version if answer and answer.value else None


def changed(world: World, times: int = 1) -> None:
    for _ in range(times):
        world.record(ZOE, "rename", 1)


def project(world: World, position: int | None = None) -> None:
    for slot in SLOTS:
        world.project(slot.partition, world.head if position is None else position)


async def test_an_empty_cache_begins_where_the_view_is() -> None:
    world, cache = World(), MemoryUserCache()
    changed(world, 3)
    project(world)
    follower = UserCacheFollower(SLOT, cache, world, world)
    assert await follower.step()
    assert (await cache.position(SLOT), await version(cache)) == (world.head, None)
    assert not await follower.step()


async def test_the_cache_follows_the_view_in_steps_and_never_passes_it() -> None:
    world, cache = World(), MemoryUserCache()
    follower = UserCacheFollower(SLOT, cache, world, world)
    await follower.step()
    changed(world, 5)
    assert not await follower.step()
    project(world, 6)
    steps = [await follower.step() for _ in range(4)]
    assert steps == [True, True, False, False]
    assert (await cache.position(SLOT), await version(cache)) == (6, 3)
    project(world)
    while await follower.step():
        pass
    assert (await cache.position(SLOT), await version(cache)) == (world.head, 5)


async def test_a_slot_caches_only_its_own_users() -> None:
    world, cache = World(), MemoryUserCache()
    for slot in SLOTS:
        await UserCacheFollower(slot, cache, world, world).step()
    for user_id in USER_IDS:
        world.record(user_id, "rename", 0)
    project(world)
    for slot in SLOTS:
        while await UserCacheFollower(slot, cache, world, world).step():
            pass
        cached_ids = {user_id for user_id in USER_IDS if await cache.look_up(slot, user_id)}
        assert cached_ids == {user_id for user_id in USER_IDS if slot.holds(user_id)}
        assert cached_ids


async def test_the_position_also_moves_without_a_change_in_this_slot() -> None:
    world, cache = World(), MemoryUserCache()
    follower = UserCacheFollower(SLOT, cache, world, world)
    await follower.step()
    world.record_other()
    world.record_other()
    project(world)
    assert await follower.step()
    assert await cache.position(SLOT) == 2


@asynccontextmanager
async def following(
    world: World, cache: MemoryUserCache, doorbell: MemoryDoorbell
) -> AsyncGenerator[None]:
    async with in_background(run_user_cache(SLOTS, cache, world, world, doorbell)):
        yield


async def until_at(cache: MemoryUserCache, position: int) -> None:
    async with asyncio.timeout(3):
        while await MemoryUserCache.position(cache, SLOT) != position:
            await asyncio.sleep(0.005)


async def test_the_bell_of_the_view_moves_the_cache_and_rings_again() -> None:
    world, cache, doorbell = World(), MemoryUserCache(), MemoryDoorbell()
    async with following(world, cache, doorbell):
        await until_at(cache, 0)
        await asyncio.sleep(0.05)
        changed(world)
        project(world)
        async with doorbell.listen(view_bell("users")) as bell:
            doorbell.ring(view_bell("users"))
            await bell.wait(0)
            began = asyncio.get_running_loop().time()
            assert await bell.wait(1)
            assert await cache.position(SLOT) == world.head
    assert asyncio.get_running_loop().time() - began < 0.5


async def test_a_missed_bell_delays_the_cache_by_a_second() -> None:
    world, cache = World(), MemoryUserCache()
    async with following(world, cache, MemoryDoorbell()):
        await until_at(cache, 0)
        await asyncio.sleep(0.05)
        changed(world)
        project(world)
        await until_at(cache, world.head)


async def test_a_cache_that_was_unavailable_catches_up() -> None:
    world, cache = World(), Breaking()
    async with following(world, cache, MemoryDoorbell()):
        await until_at(cache, 0)
        cache.is_unavailable = True
        changed(world, 3)
        project(world)
        await asyncio.sleep(0.05)
        cache.is_unavailable = False
        await until_at(cache, world.head)
    assert await version(cache) == 3


async def test_statistics_are_sent_when_the_position_or_the_day_changes() -> None:
    world, cache, now = World(), MemoryStatsCache(), datetime(2024, 5, 6, 12, tzinfo=UTC)
    follower = StatsCacheFollower(cache, world, lambda: now)
    assert await follower.step()
    assert not await follower.step()
    changed(world)
    project(world)
    assert await follower.step()
    sent = await cache.look_up(Slot(HEADCOUNT), "2024-05-06")
    assert sent is not None
    assert sent.position == world.head
    now += timedelta(hours=12)
    assert await follower.step()
    assert await cache.look_up(Slot(HEADCOUNT), "2024-05-07") is not None


async def test_the_bell_of_the_headcount_refreshes_the_statistics() -> None:
    world, cache, doorbell = World(), MemoryStatsCache(), MemoryDoorbell()
    now = datetime(2024, 5, 6, 12, tzinfo=UTC)
    task = asyncio.create_task(run_stats_cache(cache, world, doorbell, lambda: now))
    await asyncio.sleep(0.05)
    changed(world)
    project(world)
    doorbell.ring(view_bell("headcount"))
    async with asyncio.timeout(0.9):
        while (sent := await cache.look_up(Slot(HEADCOUNT), "2024-05-06")) is None or (
            sent.position < world.head
        ):
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
