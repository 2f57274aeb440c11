"""The contract of every cache: documents are as new as its position, and the newer one wins."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.cache.ports import Mark, Miss, Removed, Step
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import UserDocument
from projections.users import USERS
from tests.support.views.filling import (
    Cache,
    cached_user,
    mark_of,
    offer_user,
    position_of,
    start_over,
)
from tests.support.views.histories import YAN, ZOE

SLOT: Final = Slot(USERS)


def document(version: int, name: str = "Zoë") -> UserDocument:
    body = f'{{"name":"{name}\\n{version}"}}'.encode()
    return UserDocument(version, "active", "2024-05-06T07:08:09.123456Z", body)


def step(reached: int, read_at: int | None = None, **users: int | Removed) -> Step:
    """A step with changes of `zoe` and `yan`, each given by its new version."""
    named = {"zoe": ZOE, "yan": YAN}
    documents: Mapping[UUID, UserDocument | Removed] = {
        named[name]: document(version) if isinstance(version, int) else version
        for name, version in users.items()
    }
    return Step(reached=reached, read_at=read_at or reached, users=documents)


async def begun(cache: Cache) -> Mark:
    """The mark of a slot that begins at 5."""
    await start_over(cache, SLOT, 5)
    return await mark_of(cache, SLOT)


async def offer(cache: Cache, version: int, position: int) -> None:
    await offer_user(cache, SLOT, ZOE, document(version), position)


async def cached(
    cache: Cache, user_id: UUID = ZOE, slot: Slot[Any] = SLOT
) -> tuple[int | None, int] | None:
    """The version and the position that a reader finds; the version of a missing user is None."""
    answer = await cached_user(cache, slot, user_id)
    if answer is None:
        return None
    return answer.value.version if answer.value else None, answer.position


async def test_without_a_mark_nothing_is_cached(cache: Cache) -> None:
    seen = Mark(b"ab", 5, 0)
    cache.users.offer(Miss(SLOT, ZOE, seen), Answer(document(1), 5))
    await cache.idle()
    await cache.slots.advance(SLOT, seen, step(5, zoe=1))
    assert await cache.users.look_up(SLOT, ZOE) is None
    assert await cache.slots.mark(SLOT) is None
    await begun(cache)
    assert await cached(cache) is None


async def test_a_slot_that_several_followers_begin_begins_once(cache: Cache) -> None:
    await cache.slots.begin(SLOT, None, 5, 1)
    await offer(cache, 1, 5)
    await cache.slots.begin(SLOT, None, 3, 0)
    mark = await mark_of(cache, SLOT)
    assert (mark.position, mark.repairs) == (5, 1)
    assert await cached(cache) == (1, 5)


async def test_a_slot_that_starts_over_is_empty(cache: Cache) -> None:
    before = await begun(cache)
    await offer(cache, 3, 5)
    await cache.slots.begin(SLOT, before, 5, 1)
    after = await mark_of(cache, SLOT)
    assert after.incarnation != before.incarnation
    assert (after.position, after.repairs) == (5, 1)
    assert await cached(cache) is None
    # The right document may have a lower version than the wrong one before.
    await offer(cache, 2, 5)
    assert await cached(cache) == (2, 5)


async def test_nothing_of_a_former_incarnation_comes_back(cache: Cache) -> None:
    """A follower and a reader freeze, and the view is repaired meanwhile."""
    before = await begun(cache)
    await cache.slots.begin(SLOT, before, 5, 1)
    after = await mark_of(cache, SLOT)
    await cache.slots.begin(SLOT, before, 9, 0)
    await cache.slots.advance(SLOT, before, step(9, zoe=9))
    cache.users.offer(Miss(SLOT, ZOE, before), Answer(document(9), 9))
    await cache.idle()
    assert await mark_of(cache, SLOT) == after
    assert await cached(cache) is None


async def test_a_slot_that_lost_its_mark_takes_nothing_of_before(cache: Cache) -> None:
    before = await begun(cache)
    await cache.slots.end(SLOT)
    await cache.slots.begin(SLOT, before, 5, 0)
    assert await cache.slots.mark(SLOT) is None
    await begun(cache)
    await cache.slots.advance(SLOT, before, step(9, zoe=9))
    cache.users.offer(Miss(SLOT, ZOE, before), Answer(document(9), 9))
    await cache.idle()
    assert (await position_of(cache, SLOT), await cached(cache)) == (5, None)


async def test_a_cached_document_equals_the_offered_one(cache: Cache) -> None:
    seen = await begun(cache)
    gone = UserDocument(7, "erased", "2024-05-06T07:08:09.123456Z", b"")
    await offer_user(cache, SLOT, ZOE, document(3), 5)
    await offer_user(cache, SLOT, YAN, gone, 6)
    assert await cache.users.look_up(SLOT, ZOE) == Answer(document(3), 5)
    assert await cache.users.look_up(SLOT, YAN) == Answer(gone, 5)
    unknown = uuid7()
    assert await cache.users.look_up(SLOT, unknown) == Miss(SLOT, unknown, seen)


async def test_a_document_read_before_the_position_is_refused(cache: Cache) -> None:
    """Otherwise an erased user comes back after the entry of the erasure has expired."""
    await begun(cache)
    await offer(cache, 1, 4)
    assert await cached(cache) is None


async def test_a_step_sets_documents_and_position(cache: Cache) -> None:
    seen = await begun(cache)
    await offer(cache, 1, 5)
    await cache.slots.advance(SLOT, seen, step(8, zoe=2))
    assert await position_of(cache, SLOT) == 8
    assert await cached(cache) == (2, 8)
    await cache.slots.advance(SLOT, seen, step(9))
    assert await cached(cache) == (2, 9)


async def test_a_removed_user_is_cached_as_missing(cache: Cache) -> None:
    seen = await begun(cache)
    await offer(cache, 1, 5)
    await cache.slots.advance(SLOT, seen, step(6, zoe=Removed(2)))
    assert await cached(cache) == (None, 6)
    await offer(cache, 1, 6)
    assert await cached(cache) == (None, 6)


async def test_a_step_that_begins_after_the_position_is_refused(cache: Cache) -> None:
    """The changes between the two positions are not in the step."""
    seen = await begun(cache)
    await offer(cache, 1, 5)
    await cache.slots.advance(SLOT, replace(seen, position=6), step(8, yan=1))
    assert await position_of(cache, SLOT) == 5
    assert (await cached(cache), await cached(cache, YAN)) == ((1, 5), None)


async def test_a_step_that_begins_before_the_position_is_accepted(cache: Cache) -> None:
    seen = await begun(cache)
    await cache.slots.advance(SLOT, replace(seen, position=2), step(8, zoe=2))
    assert await cached(cache) == (2, 8)


async def test_a_late_step_changes_nothing(cache: Cache) -> None:
    seen = await begun(cache)
    await cache.slots.advance(SLOT, seen, step(9, zoe=3))
    await cache.slots.advance(SLOT, seen, step(8, zoe=2, yan=1))
    assert await position_of(cache, SLOT) == 9
    assert (await cached(cache), await cached(cache, YAN)) == ((3, 9), None)


async def test_a_late_step_that_was_read_recently_still_sets_documents(cache: Cache) -> None:
    seen = await begun(cache)
    await cache.slots.advance(SLOT, seen, step(9, zoe=3))
    await cache.slots.advance(SLOT, seen, step(8, read_at=9, yan=1))
    assert await position_of(cache, SLOT) == 9
    assert (await cached(cache), await cached(cache, YAN)) == ((3, 9), (1, 9))


async def test_an_older_document_does_not_replace_a_newer_one(cache: Cache) -> None:
    seen = await begun(cache)
    await offer(cache, 3, 7)
    await offer(cache, 2, 6)
    await cache.slots.advance(SLOT, seen, step(6, zoe=2))
    assert await cached(cache) == (3, 6)


async def test_slots_are_independent(cache: Cache) -> None:
    other = Slot(USERS, 2)
    await begun(cache)
    await offer(cache, 1, 5)
    assert await cache.slots.mark(other) is None
    await start_over(cache, other, 9)
    assert await cached(cache, slot=other) is None
    assert await cached(cache) == (1, 5)
