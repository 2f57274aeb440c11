"""When the receipt is written, no generation has a cached copy of the person left."""

from typing import Any, Final

import pytest

from application.cache.ports import Miss
from application.erasure.coverage import BY_THE_APPEND
from application.erasure.erased_views import ViewGeneration
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import UserDocument
from projections.users import USERS
from tests.support.views.erasing import SERVING, UnavailableCache, World, job_of, receipt_of
from tests.support.views.filling import cached_user, mark_of, offer_user, start_over

SLOT: Final = Slot[Any](USERS)


def document(version: int) -> UserDocument:
    return UserDocument(version, "active", "2024-05-06T07:08:09.123456Z", b'{"name":"Zo\xc3\xab"}')


class CachedWorld(World):
    def __init__(self) -> None:
        self.redis = UnavailableCache()
        super().__init__(self.redis)
        self.views.move(2)

    async def cached_version(self, slot: Slot[Any] = SLOT) -> int | None:
        answer = await cached_user(self.redis, slot, self.user_id)
        return answer.value.version if answer and answer.value else None

    async def fill(self, position: int, slot: Slot[Any] = SLOT) -> None:
        """Put the person's copy into a cache at this position."""
        await start_over(self.redis, slot, position)
        await offer_user(self.redis, slot, self.user_id, document(1), position)


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
    await cached.fill(2)
    erasure = await cached.erase()
    assert receipt_of(erasure).covers == (*BY_THE_APPEND, *SERVING, "cache")
    assert await cached.cached_version() is None


async def test_a_cache_without_a_mark_takes_no_copy_that_was_read_before_the_erasure(
    cached: CachedWorld,
) -> None:
    """Also if a follower that read the view earlier begins before the erasure."""
    await cached.fill(1)
    before = await mark_of(cached.redis, SLOT)
    await cached.redis.end(SLOT)
    assert receipt_of(await cached.erase())
    await cached.redis.begin(SLOT, None, 1, 0)
    miss = Miss(SLOT, cached.user_id, before)
    cached.redis.users.offer(miss, Answer(document(1), 1))
    assert await cached.cached_version() is None


async def test_a_cache_that_is_not_read_is_invalidated_at_once(
    cached: CachedWorld,
) -> None:
    old = Slot[Any](USERS, 2)
    cached.views.others = [ViewGeneration("users", 2, False, 2)]
    await cached.fill(1, old)
    assert receipt_of(await cached.erase())
    assert await cached.redis.mark(old) is None
    assert await cached.cached_version(old) is None


async def test_copies_of_dropped_generations_are_removed(cached: CachedWorld) -> None:
    dropped = Slot[Any](USERS, 2)
    cached.views.others = [ViewGeneration("users", 3, False, 2)]
    cached.views.dropped = [2]
    await cached.fill(1, dropped)
    assert receipt_of(await cached.erase())
    assert await cached.cached_version(dropped) is None


async def test_only_generations_that_may_have_copies_are_searched(cached: CachedWorld) -> None:
    cached.views.others = [ViewGeneration("users", 9000, False, 2)]
    cached.views.dropped = [8998, 8999]
    assert receipt_of(await cached.erase())
    assert cached.redis.searched == [1, 8998, 8999, 9000]


async def test_the_job_waits_for_a_cache_that_is_unavailable(cached: CachedWorld) -> None:
    await cached.fill(2)
    cached.redis.is_unavailable = True
    erasure = await cached.erase()
    async with cached.sweeping():
        waiting = await cached.wait_for_job(job_of(erasure).id, lambda job: job.error is not None)
        assert waiting.error == "Not reached yet: cache."
        cached.redis.is_unavailable = False
        done = await cached.wait_for_job(job_of(erasure).id, lambda job: job.state == "succeeded")
    assert done.result is not None
    assert "cache" in done.result["covers"]
    assert await cached.cached_version() is None
