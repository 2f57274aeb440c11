"""Cached copies of a person: of every build, none is left when the receipt is written."""

from typing import Any, Final

import pytest

from application.erasure.coverage import BY_THE_APPEND, ViewGeneration
from application.projector.view_store import Slot
from application.queries.documents import UserDocument
from projections.users import USERS
from tests.support.views.erasing import SERVING, AwayCache, World, job_of, receipt_of

SLOT: Final = Slot[Any](USERS)


def document(version: int) -> UserDocument:
    return UserDocument(version, "active", "2024-05-06T07:08:09.123456Z", b'{"name":"Zo\xc3\xab"}')


class CachedWorld(World):
    def __init__(self) -> None:
        self.redis = AwayCache()
        super().__init__(self.redis)
        self.views.move(2)

    async def known(self, slot: Slot[Any] = SLOT) -> int | None:
        answer = await self.redis.look_up(slot, self.user_id)
        return answer.value.version if answer and answer.value else None

    async def fill(self, position: int, slot: Slot[Any] = SLOT) -> None:
        """The person's copy, in a cache that stands there."""
        await self.redis.begin(slot, position)
        self.redis.offer(slot, self.user_id, document(1), position)


@pytest.fixture
async def cached() -> CachedWorld:
    world = CachedWorld()
    await world.register()
    return world


async def test_the_cache_is_waited_for_and_holds_no_copy_then(cached: CachedWorld) -> None:
    await cached.fill(1)
    erasure = await cached.erase()
    assert (job_of(erasure).kind, await cached.known()) == ("erasure", 1)
    await cached.redis.begin_again(SLOT, 2)
    await cached.fill(2)
    erasure = await cached.erase()
    assert receipt_of(erasure).covers == (*BY_THE_APPEND, *SERVING, "cache")
    assert await cached.known() is None


async def test_a_cache_that_has_lost_its_place_begins_behind_the_erasure(
    cached: CachedWorld,
) -> None:
    """Else a follower that read the view before could begin before it."""
    assert receipt_of(await cached.erase())
    await cached.redis.begin(SLOT, 1)
    assert await cached.redis.position(SLOT) == 2


async def test_a_cache_that_nobody_asks_is_made_void_instead_of_waited_for(
    cached: CachedWorld,
) -> None:
    old = Slot[Any](USERS, 2)
    cached.views.others = [ViewGeneration("users", 2, False, {0: 2})]
    await cached.fill(1, old)
    assert receipt_of(await cached.erase())
    assert (await cached.redis.position(old), await cached.known(old)) == (2, None)


async def test_copies_of_builds_that_were_dropped_go_too(cached: CachedWorld) -> None:
    dropped = Slot[Any](USERS, 2)
    cached.views.others = [ViewGeneration("users", 3, False, {0: 2})]
    await cached.fill(1, dropped)
    assert receipt_of(await cached.erase())
    assert await cached.known(dropped) is None


async def test_a_cache_that_is_away_is_waited_for_by_the_job(cached: CachedWorld) -> None:
    await cached.fill(2)
    cached.redis.is_away = True
    erasure = await cached.erase()
    async with cached.jobs.working():
        waiting = await cached.until(job_of(erasure).id, lambda job: job.attempts > 4)
        assert waiting.error == "NotCleanYet: Not reached yet: cache."
        cached.redis.is_away = False
        done = await cached.until(job_of(erasure).id, lambda job: job.state == "succeeded")
    assert done.result is not None
    assert "cache" in done.result["covers"]
    assert await cached.known() is None
