"""The followers of the cache copy every change up to the position of the view, and none beyond."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from application.cache.followers import CacheFollower, follow_view
from application.cache.ports import CacheUnavailable, Mark, Miss, Step
from application.doorbell import view_bell
from application.projector.view_store import Slot
from infrastructure.doorbell.memory import MemoryDoorbell
from projections.headcount import HEADCOUNT
from tests.support.doubles.cache import MemoryCache
from tests.support.run.background import in_background
from tests.support.views.cache_model import SLOT, USER_IDS, World
from tests.support.views.filling import cached_user, position_of

ZOE, YAN = USER_IDS[:2]


class Breaking(MemoryCache):
    """A cache that can be unavailable."""

    def __init__(self) -> None:
        super().__init__()
        self.is_unavailable = False

    async def mark(self, slot: Slot[Any]) -> Mark | None:
        if self.is_unavailable:
            raise CacheUnavailable
        return await super().mark(slot)

    async def advance(self, slot: Slot[Any], seen: Mark, step: Step) -> None:
        if self.is_unavailable:
            raise CacheUnavailable
        await super().advance(slot, seen, step)


class Frozen(MemoryCache):
    """A cache as a follower sees it that freezes before its step arrives."""

    def __init__(self, cache: MemoryCache) -> None:
        super().__init__()
        self.known = cache.known
        self._late: list[tuple[Slot[Any], Mark, Step]] = []

    async def advance(self, slot: Slot[Any], seen: Mark, step: Step) -> None:
        self._late.append((slot, seen, step))

    async def thaw(self) -> None:
        for each in self._late:
            await super().advance(*each)


async def version(cache: MemoryCache) -> int | None:
    """The cached version of Zoë."""
    answer = await cached_user(cache, SLOT, ZOE)
    return answer.value.version if answer and answer.value else None


def changed(world: World, times: int = 1) -> None:
    for _ in range(times):
        world.record(ZOE, "rename", 1)


def project(world: World, position: int | None = None) -> None:
    world.project(world.head if position is None else position)


async def test_an_empty_cache_begins_where_the_view_is() -> None:
    world, cache = World(), MemoryCache()
    changed(world, 3)
    project(world)
    follower = CacheFollower(SLOT, cache, world, world)
    assert await follower.step()
    assert (await position_of(cache, SLOT), await version(cache)) == (world.head, None)
    assert not await follower.step()


async def test_the_cache_follows_the_view_in_steps_and_never_passes_it() -> None:
    world, cache = World(), MemoryCache()
    follower = CacheFollower(SLOT, cache, world, world)
    await follower.step()
    changed(world, 5)
    assert not await follower.step()
    project(world, 6)
    steps = [await follower.step() for _ in range(4)]
    assert steps == [True, True, False, False]
    assert (await position_of(cache, SLOT), await version(cache)) == (6, 3)
    project(world)
    while await follower.step():
        pass
    assert (await position_of(cache, SLOT), await version(cache)) == (world.head, 5)


async def test_a_slot_caches_all_users_that_changed() -> None:
    world, cache = World(), MemoryCache()
    follower = CacheFollower(SLOT, cache, world, world)
    await follower.step()
    for user_id in USER_IDS:
        world.record(user_id, "rename", 0)
    project(world)
    while await follower.step():
        pass
    for user_id in USER_IDS:
        assert await cached_user(cache, SLOT, user_id)


async def test_the_position_also_moves_without_a_change_in_this_slot() -> None:
    world, cache = World(), MemoryCache()
    follower = CacheFollower(SLOT, cache, world, world)
    await follower.step()
    world.record_other()
    world.record_other()
    project(world)
    assert await follower.step()
    assert await position_of(cache, SLOT) == 2


@asynccontextmanager
async def following(
    world: World, cache: MemoryCache, doorbell: MemoryDoorbell
) -> AsyncGenerator[None]:
    async with in_background(follow_view(SLOT, cache, world, world, doorbell)):
        yield


async def until_at(cache: MemoryCache, position: int) -> None:
    async with asyncio.timeout(3):
        while (known := cache.known.get(str(SLOT))) is None or known.mark.position != position:
            await asyncio.sleep(0.005)


async def test_the_bell_of_the_view_moves_the_cache_and_rings_again() -> None:
    world, cache, doorbell = World(), MemoryCache(), MemoryDoorbell()
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
            assert await position_of(cache, SLOT) == world.head
    assert asyncio.get_running_loop().time() - began < 0.5


async def test_a_missed_bell_delays_the_cache_by_a_second() -> None:
    world, cache = World(), MemoryCache()
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


async def test_a_view_with_pages_only_sends_its_position_at_once() -> None:
    world, cache, slot = World(), MemoryCache(), Slot[Any](HEADCOUNT)
    follower = CacheFollower(slot, cache, world, world)
    assert await follower.step()
    changed(world, 5)
    project(world)
    assert [await follower.step() for _ in range(2)] == [True, False]
    assert await position_of(cache, slot) == world.head
    miss = await cache.stats.look_up(slot, "2024-05-06")
    assert isinstance(miss, Miss)


async def test_a_repair_starts_the_slot_over_though_no_position_moved() -> None:
    world, cache = World(), MemoryCache()
    follower = CacheFollower(SLOT, cache, world, world)
    await follower.step()
    world.go_wrong(ZOE)
    changed(world)
    project(world)
    while await follower.step():
        pass
    assert await version(cache) == 99
    world.repair()
    assert [await follower.step() for _ in range(2)] == [True, False]
    assert (await position_of(cache, SLOT), await version(cache)) == (world.head, None)


async def test_two_followers_start_a_repaired_slot_over_once() -> None:
    world, cache = World(), MemoryCache()
    followers = [CacheFollower(SLOT, cache, world, world) for _ in range(2)]
    for follower in followers:
        await follower.step()
    world.repair()
    assert [await follower.step() for follower in followers] == [True, False]


async def test_a_number_of_repairs_that_a_crash_lost_starts_the_slot_over_too() -> None:
    world, cache = World(), MemoryCache()
    follower = CacheFollower(SLOT, cache, world, world)
    world.repair()
    await follower.step()
    world.repairs -= 1
    assert [await follower.step() for _ in range(2)] == [True, False]


async def test_a_follower_that_freezes_during_a_repair_brings_nothing_back() -> None:
    world, cache = World(), MemoryCache()
    await CacheFollower(SLOT, cache, world, world).step()
    world.go_wrong(ZOE)
    changed(world)
    project(world)
    late = Frozen(cache)
    assert await CacheFollower(SLOT, late, world, world).step()
    world.repair()
    assert await CacheFollower(SLOT, cache, world, world).step()
    await late.thaw()
    assert (await position_of(cache, SLOT), await version(cache)) == (world.head, None)
