"""The contract of every cache: documents are as new as its position, and the newer one wins."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from application.cache.ports import Removed, Step
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import UserDocument
from infrastructure.cache.redis_cache import RedisCache
from projections.headcount import HEADCOUNT
from projections.users import USERS
from tests.support.doubles.cache import MemoryCache
from tests.support.views.histories import YAN, ZOE

SLOT: Final = Slot(USERS)
DAY: Final = "2024-05-06"


Cache = MemoryCache | RedisCache


def document(version: int, name: str = "Zoë") -> UserDocument:
    body = f'{{"name":"{name}\\n{version}"}}'.encode()
    return UserDocument(version, "active", "2024-05-06T07:08:09.123456Z", body)


def step(after: int, reached: int, read_at: int | None = None, **users: int | Removed) -> Step:
    """A step with changes of `zoe` and `yan`, each given by its new version."""
    named = {"zoe": ZOE, "yan": YAN}
    documents: Mapping[UUID, UserDocument | Removed] = {
        named[name]: document(version) if isinstance(version, int) else version
        for name, version in users.items()
    }
    return Step(after=after, reached=reached, read_at=read_at or reached, users=documents)


async def offer(cache: Cache, version: int, position: int, user_id: UUID = ZOE) -> None:
    cache.users.offer(SLOT, user_id, document(version), position)
    await cache.idle()


async def cached(
    cache: Cache, user_id: UUID = ZOE, slot: Slot[Any] = SLOT
) -> tuple[int | None, int] | None:
    """The version and the position that a reader finds; the version of a missing user is None."""
    answer = await cache.users.look_up(slot, user_id)
    if answer is None:
        return None
    return answer.value.version if answer.value else None, answer.position


async def test_without_a_position_nothing_is_cached(cache: Cache) -> None:
    await offer(cache, 1, 5)
    await cache.following.advance(SLOT, step(0, 5, zoe=1))
    assert await cache.following.position(SLOT) is None
    await cache.following.begin(SLOT, 5)
    assert await cached(cache) is None


async def test_a_slot_begins_once(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    await cache.following.begin(SLOT, 3)
    assert await cache.following.position(SLOT) == 5
    assert await cached(cache) == (1, 5)


async def test_a_cached_document_equals_the_offered_one(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    gone = UserDocument(7, "erased", "2024-05-06T07:08:09.123456Z", b"")
    cache.users.offer(SLOT, ZOE, document(3), 5)
    cache.users.offer(SLOT, YAN, gone, 6)
    await cache.idle()
    assert await cache.users.look_up(SLOT, ZOE) == Answer(document(3), 5)
    assert await cache.users.look_up(SLOT, YAN) == Answer(gone, 5)
    assert await cache.users.look_up(SLOT, uuid7()) is None


async def test_a_document_read_before_the_position_is_refused(cache: Cache) -> None:
    """Otherwise an erased user comes back after the entry of the erasure has expired."""
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 4)
    assert await cached(cache) is None


async def test_a_step_sets_documents_and_position(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    await cache.following.advance(SLOT, step(5, 8, zoe=2))
    assert await cache.following.position(SLOT) == 8
    assert await cached(cache) == (2, 8)
    await cache.following.advance(SLOT, step(8, 9))
    assert await cached(cache) == (2, 9)


async def test_a_removed_user_is_cached_as_missing(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    await cache.following.advance(SLOT, step(5, 6, zoe=Removed(2)))
    assert await cached(cache) == (None, 6)
    await offer(cache, 1, 6)
    assert await cached(cache) == (None, 6)


async def test_a_step_that_begins_after_the_position_is_refused(cache: Cache) -> None:
    """The changes between the two positions are not in the step."""
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    await cache.following.advance(SLOT, step(6, 8, yan=1))
    assert await cache.following.position(SLOT) == 5
    assert (await cached(cache), await cached(cache, YAN)) == ((1, 5), None)


async def test_a_step_that_begins_before_the_position_is_accepted(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await cache.following.advance(SLOT, step(2, 8, zoe=2))
    assert await cached(cache) == (2, 8)


async def test_a_late_step_changes_nothing(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await cache.following.advance(SLOT, step(5, 9, zoe=3))
    await cache.following.advance(SLOT, step(5, 8, zoe=2, yan=1))
    assert await cache.following.position(SLOT) == 9
    assert (await cached(cache), await cached(cache, YAN)) == ((3, 9), None)


async def test_a_late_step_that_was_read_recently_still_sets_documents(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await cache.following.advance(SLOT, step(5, 9, zoe=3))
    await cache.following.advance(SLOT, step(5, 8, read_at=9, yan=1))
    assert await cache.following.position(SLOT) == 9
    assert (await cached(cache), await cached(cache, YAN)) == ((3, 9), (1, 9))


async def test_a_step_that_does_not_move_sets_documents_only(cache: Cache) -> None:
    """Used for a view that was changed without an event."""
    await cache.following.begin(SLOT, 5)
    await cache.following.advance(SLOT, step(0, 0, read_at=4, zoe=2))
    assert await cached(cache) is None
    await cache.following.advance(SLOT, step(0, 0, read_at=5, zoe=2))
    assert await cached(cache) == (2, 5)


async def test_an_older_document_does_not_replace_a_newer_one(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await offer(cache, 3, 7)
    await offer(cache, 2, 6)
    await cache.following.advance(SLOT, step(5, 6, zoe=2))
    assert await cached(cache) == (3, 6)


async def test_slots_are_independent(cache: Cache) -> None:
    others = [Slot(USERS, 2), Slot(USERS, 1, 1)]
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    for other in others:
        assert await cache.following.position(other) is None
        await cache.following.begin(other, 9)
        assert await cached(cache, slot=other) is None
    assert await cached(cache) == (1, 5)


async def test_the_newest_statistics_of_a_day_are_kept(cache: Cache) -> None:
    slot = Slot(HEADCOUNT)
    assert await cache.stats.look_up(slot, DAY) is None
    for position in (7, 9, 8, 10, 9):
        cache.stats.offer(slot, DAY, Answer(b'{"at":\n%d}' % position, position))
        await cache.idle()
    assert await cache.stats.look_up(slot, DAY) == Answer(b'{"at":\n10}', 10)
    assert await cache.stats.look_up(slot, "2024-05-07") is None
    assert await cache.stats.look_up(Slot(HEADCOUNT, 2), DAY) is None
