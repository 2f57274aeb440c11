"""When the receipt is written, no generation has a cached copy of the person left."""

from typing import Any, Final

import pytest

from application.erasure.coverage import BY_THE_APPEND, ViewGeneration
from application.projector.view_store import Slot
from application.queries.documents import UserDocument
from projections.users import USERS
from tests.support.views.erasing import SERVING, UnavailableCache, World, job_of, receipt_of

SLOT: Final = Slot[Any](USERS)


def document(version: int) -> UserDocument:
    return UserDocument(version, "active", "2024-05-06T07:08:09.123456Z", b'{"name":"Zo\xc3\xab"}')


class CachedWorld(World):
    def __init__(self) -> None:
        self.redis = UnavailableCache()
        super().__init__(self.redis)
        self.views.move(2)

    async def cached_version(self, slot: Slot[Any] = SLOT) -> int | None:
        answer = await self.redis.look_up(slot, self.user_id)
        return answer.value.version if answer and answer.value else None

    async def fill(self, position: int, slot: Slot[Any] = SLOT) -> None:
        """Put the person's copy into a cache at this position."""
        await self.redis.begin(slot, position)
        self.redis.offer(slot, self.user_id, document(1), position)


@pytest.fixture
async def cached() -> CachedWorld:
    world = CachedWorld()
    await world.register()
    return world


async def test_the_erasure_waits_for_the_cache_and_leaves_no_copy_in_it(
    cached: CachedWorld,
) -> None:
    await cached.fill(1)
    erasure = await cached.erase()
    assert (job_of(erasure).kind, await cached.cached_version()) == ("erasure", 1)
    await cached.redis.reset(SLOT, 2)
    await cached.fill(2)
    erasure = await cached.erase()
    assert receipt_of(erasure).covers == (*BY_THE_APPEND, *SERVING, "cache")
    assert await cached.cached_version() is None


async def test_a_cache_without_a_position_begins_at_the_erasure(
    cached: CachedWorld,
) -> None:
    """Otherwise a follower that read the view earlier could begin before the erasure."""
    assert receipt_of(await cached.erase())
    await cached.redis.begin(SLOT, 1)
    assert await cached.redis.position(SLOT) == 2


async def test_a_cache_that_is_not_read_is_invalidated_at_once(
    cached: CachedWorld,
) -> None:
    old = Slot[Any](USERS, 2)
    cached.views.others = [ViewGeneration("users", 2, False, {0: 2})]
    await cached.fill(1, old)
    assert receipt_of(await cached.erase())
    assert (await cached.redis.position(old), await cached.cached_version(old)) == (2, None)


async def test_copies_of_dropped_generations_are_removed(cached: CachedWorld) -> None:
    dropped = Slot[Any](USERS, 2)
    cached.views.others = [ViewGeneration("users", 3, False, {0: 2})]
    await cached.fill(1, dropped)
    assert receipt_of(await cached.erase())
    assert await cached.cached_version(dropped) is None


async def test_the_job_waits_for_a_cache_that_is_unavailable(cached: CachedWorld) -> None:
    await cached.fill(2)
    cached.redis.is_unavailable = True
    erasure = await cached.erase()
    async with cached.jobs.working():
        waiting = await cached.wait_for_job(job_of(erasure).id, lambda job: job.attempts > 4)
        assert waiting.error == "NotCleanYet: Not reached yet: cache."
        cached.redis.is_unavailable = False
        done = await cached.wait_for_job(job_of(erasure).id, lambda job: job.state == "succeeded")
    assert done.result is not None
    assert "cache" in done.result["covers"]
    assert await cached.cached_version() is None
