"""What every cache keeps: documents no staler than its position, and of two the newer one."""

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
    """A step in which `zoe` and `yan` changed, each by the version it came to."""
    named = {"zoe": ZOE, "yan": YAN}
    documents: Mapping[UUID, UserDocument | Removed] = {
        named[name]: document(version) if isinstance(version, int) else version
        for name, version in users.items()
    }
    return Step(after=after, reached=reached, read_at=read_at or reached, users=documents)


async def offer(cache: Cache, version: int, position: int, user_id: UUID = ZOE) -> None:
    cache.users.offer(SLOT, user_id, document(version), position)
    await cache.idle()


async def known(
    cache: Cache, user_id: UUID = ZOE, slot: Slot[Any] = SLOT
) -> tuple[int | None, int] | None:
    """The version and the position that a reader finds; None for the version of nobody."""
    answer = await cache.users.look_up(slot, user_id)
    if answer is None:
        return None
    return answer.value.version if answer.value else None, answer.position


async def test_without_a_position_nothing_is_known_or_kept(cache: Cache) -> None:
    await offer(cache, 1, 5)
    await cache.following.advance(SLOT, step(0, 5, zoe=1))
    assert await cache.following.position(SLOT) is None
    await cache.following.begin(SLOT, 5)
    assert await known(cache) is None


async def test_a_position_begins_once(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    await cache.following.begin(SLOT, 3)
    assert await cache.following.position(SLOT) == 5
    assert await known(cache) == (1, 5)


async def test_a_document_comes_back_as_it_was_offered(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    gone = UserDocument(7, "erased", "2024-05-06T07:08:09.123456Z", b"")
    cache.users.offer(SLOT, ZOE, document(3), 5)
    cache.users.offer(SLOT, YAN, gone, 6)
    await cache.idle()
    assert await cache.users.look_up(SLOT, ZOE) == Answer(document(3), 5)
    assert await cache.users.look_up(SLOT, YAN) == Answer(gone, 5)
    assert await cache.users.look_up(SLOT, uuid7()) is None


async def test_what_was_read_before_the_position_is_not_taken(cache: Cache) -> None:
    """Else who was erased comes back, once the cache has forgotten the erasure."""
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 4)
    assert await known(cache) is None


async def test_a_step_brings_documents_and_position(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    await cache.following.advance(SLOT, step(5, 8, zoe=2))
    assert await cache.following.position(SLOT) == 8
    assert await known(cache) == (2, 8)
    await cache.following.advance(SLOT, step(8, 9))
    assert await known(cache) == (2, 9)


async def test_a_removed_user_is_known_to_be_nobody(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    await cache.following.advance(SLOT, step(5, 6, zoe=Removed(2)))
    assert await known(cache) == (None, 6)
    await offer(cache, 1, 6)
    assert await known(cache) == (None, 6)


async def test_a_step_that_does_not_reach_back_to_the_position_is_refused(cache: Cache) -> None:
    """What changed between the two is not in it."""
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    await cache.following.advance(SLOT, step(6, 8, yan=1))
    assert await cache.following.position(SLOT) == 5
    assert (await known(cache), await known(cache, YAN)) == ((1, 5), None)


async def test_a_step_that_reaches_further_back_fits(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await cache.following.advance(SLOT, step(2, 8, zoe=2))
    assert await known(cache) == (2, 8)


async def test_a_step_that_comes_late_changes_nothing(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await cache.following.advance(SLOT, step(5, 9, zoe=3))
    await cache.following.advance(SLOT, step(5, 8, zoe=2, yan=1))
    assert await cache.following.position(SLOT) == 9
    assert (await known(cache), await known(cache, YAN)) == ((3, 9), None)


async def test_a_step_read_later_than_it_reaches_still_counts(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await cache.following.advance(SLOT, step(5, 9, zoe=3))
    await cache.following.advance(SLOT, step(5, 8, read_at=9, yan=1))
    assert await cache.following.position(SLOT) == 9
    assert (await known(cache), await known(cache, YAN)) == ((3, 9), (1, 9))


async def test_a_step_on_the_spot_brings_documents_alone(cache: Cache) -> None:
    """For a view that was changed without an event."""
    await cache.following.begin(SLOT, 5)
    await cache.following.advance(SLOT, step(0, 0, read_at=4, zoe=2))
    assert await known(cache) is None
    await cache.following.advance(SLOT, step(0, 0, read_at=5, zoe=2))
    assert await known(cache) == (2, 5)


async def test_an_older_document_does_not_replace_a_newer_one(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)
    await offer(cache, 3, 7)
    await offer(cache, 2, 6)
    await cache.following.advance(SLOT, step(5, 6, zoe=2))
    assert await known(cache) == (3, 6)


async def test_slots_are_apart(cache: Cache) -> None:
    others = [Slot(USERS, 2), Slot(USERS, 1, 1)]
    await cache.following.begin(SLOT, 5)
    await offer(cache, 1, 5)
    for other in others:
        assert await cache.following.position(other) is None
        await cache.following.begin(other, 9)
        assert await known(cache, slot=other) is None
    assert await known(cache) == (1, 5)


async def test_of_the_statistics_of_a_day_the_newest_are_kept(cache: Cache) -> None:
    slot = Slot(HEADCOUNT)
    assert await cache.stats.look_up(slot, DAY) is None
    for position in (7, 9, 8, 10, 9):
        cache.stats.offer(slot, DAY, Answer(b'{"at":\n%d}' % position, position))
        await cache.idle()
    assert await cache.stats.look_up(slot, DAY) == Answer(b'{"at":\n10}', 10)
    assert await cache.stats.look_up(slot, "2024-05-07") is None
    assert await cache.stats.look_up(Slot(HEADCOUNT, 2), DAY) is None
