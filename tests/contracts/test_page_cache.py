"""The contract of every page cache: a page is valid until its slot changes."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from application.cache.ports import Miss, Step
from application.projector.view_store import Slot
from application.queries.directory import Answer, ListCursor, UserList
from application.queries.documents import UserDocument
from projections.headcount import HEADCOUNT
from projections.users import USERS
from tests.support.views.filling import Cache, mark_of, move, offer_user, start_over
from tests.support.views.histories import YAN, ZOE

SLOT: Final = Slot[Any](USERS)
OTHERS: Final = (Slot[Any](USERS, 2), Slot[Any](USERS, 3))
QUERY: Final = UserList(words="zo", limit=10)
DOCUMENT: Final = UserDocument(2, "active", "2024-05-06T07:08:09.123456Z", b"{}")


@pytest.fixture(autouse=True)
async def begun(cache: Cache) -> None:
    await start_over(cache, SLOT, 5)


async def page_miss(
    cache: Cache, query: UserList = QUERY, slot: Slot[Any] = SLOT
) -> Miss[UserList]:
    found = await cache.pages.look_up(slot, query)
    assert isinstance(found, Miss)
    return found


async def offer(cache: Cache, miss: Miss[UserList], position: int, body: bytes = b"page") -> None:
    cache.pages.offer(miss, Answer(body, position, miss.slot.generation))
    await cache.idle()


async def filled(cache: Cache, position: int = 5, query: UserList = QUERY) -> None:
    await offer(cache, await page_miss(cache, query), position)
    assert await is_cached(cache, query)


async def is_cached(cache: Cache, query: UserList = QUERY, slot: Slot[Any] = SLOT) -> bool:
    return isinstance(await cache.pages.look_up(slot, query), Answer)


async def test_a_cached_page_equals_the_offered_one_and_keeps_its_position(cache: Cache) -> None:
    await offer(cache, await page_miss(cache), 7, b'{"items":[]}\n\n')
    assert await cache.pages.look_up(SLOT, QUERY) == Answer(b'{"items":[]}\n\n', 7)


async def test_each_query_limit_and_cursor_has_its_own_page(cache: Cache) -> None:
    after = ListCursor("zoe", ZOE)
    queries = [
        QUERY,
        replace(QUERY, limit=11),
        replace(QUERY, words="zoe"),
        replace(QUERY, after=after),
        replace(QUERY, after=replace(after, id=YAN)),
        replace(QUERY, descending=True),
        replace(QUERY, words=None, roles=("zo",)),
        replace(QUERY, words=None, external_ids=("zo",)),
        replace(QUERY, statuses=("active",)),
    ]
    for n, query in enumerate(queries):
        await offer(cache, await page_miss(cache, query), 5, b"%d" % n)
    found = [await cache.pages.look_up(SLOT, query) for query in queries]
    assert found == [Answer(b"%d" % n, 5) for n in range(len(queries))]


async def test_a_slot_without_a_position_takes_no_pages(cache: Cache) -> None:
    for slot in OTHERS:
        assert await cache.pages.look_up(slot, QUERY) is None


async def test_slots_are_independent(cache: Cache) -> None:
    for slot in OTHERS:
        await start_over(cache, slot, 5)
    await filled(cache)
    for slot in OTHERS:
        assert not await is_cached(cache, slot=slot)
        await offer(cache, await page_miss(cache, slot=slot), 6)
    await move(cache, SLOT, 6, {ZOE: DOCUMENT})
    assert [await is_cached(cache, slot=slot) for slot in (SLOT, *OTHERS)] == [False, True, True]


async def test_a_page_read_before_the_position_is_refused(cache: Cache) -> None:
    """A view that lost its last pages in a crash is behind its cache."""
    await offer(cache, await page_miss(cache), 4)
    assert not await is_cached(cache)


async def test_a_slot_loses_its_pages_when_its_position_moves(cache: Cache) -> None:
    queries = [QUERY, replace(QUERY, limit=11)]
    for query in queries:
        await filled(cache, 9, query)
    await move(cache, SLOT, 6, {ZOE: DOCUMENT})
    assert [await is_cached(cache, query) for query in queries] == [False, False]


async def test_a_refused_or_late_step_removes_no_page(cache: Cache) -> None:
    await filled(cache)
    mark, step = await mark_of(cache, SLOT), Step(reached=8, read_at=8, users={ZOE: DOCUMENT})
    await cache.slots.advance(SLOT, replace(mark, position=6), step)
    await cache.slots.advance(SLOT, replace(mark, incarnation=b"ab"), step)
    await move(cache, SLOT, 4)
    assert await is_cached(cache)


@pytest.mark.parametrize("meanwhile", ["moved", "repaired", "began again"])
async def test_a_page_for_a_miss_from_before_a_change_is_refused(
    cache: Cache, meanwhile: str
) -> None:
    """A slow reader may have read a user that has been erased or repaired since."""
    await filled(cache, 9)
    miss = await page_miss(cache, other := replace(QUERY, limit=11))
    match meanwhile:
        case "moved":
            await move(cache, SLOT, 6, {ZOE: DOCUMENT})
        case "repaired":
            await start_over(cache, SLOT, 5, repairs=1)
        case _:
            await cache.slots.end(SLOT)
            await start_over(cache, SLOT, 5)
    await offer(cache, miss, 9)
    assert (await is_cached(cache), await is_cached(cache, other)) == (False, False)
    await filled(cache, 9, other)


async def test_readers_remove_no_page(cache: Cache) -> None:
    await filled(cache)
    await offer_user(cache, SLOT, ZOE, DOCUMENT, 5)
    await cache.slots.begin(SLOT, None, 9, 0)
    assert await is_cached(cache)


async def test_forgetting_a_person_removes_all_pages_of_the_given_slots(cache: Cache) -> None:
    for slot in OTHERS:
        await start_over(cache, slot, 5)
        await offer(cache, await page_miss(cache, slot=slot), 5)
    await filled(cache)
    await cache.slots.forget(YAN, [SLOT, OTHERS[0]])
    assert [await is_cached(cache, slot=slot) for slot in (SLOT, *OTHERS)] == [False, False, True]


async def test_a_page_for_an_old_miss_is_accepted_while_nothing_changed(cache: Cache) -> None:
    miss = await page_miss(cache)
    await offer(cache, miss, 5, b"old")
    await offer(cache, miss, 6, b"new")
    assert await cache.pages.look_up(SLOT, QUERY) == Answer(b"new", 6)


async def test_the_statistics_of_each_day_are_pages_of_their_slot(cache: Cache) -> None:
    slot, day = Slot[Any](HEADCOUNT), "2024-05-06"
    assert await cache.stats.look_up(slot, day) is None
    await start_over(cache, slot, 5)
    miss = await cache.stats.look_up(slot, day)
    assert isinstance(miss, Miss)
    cache.stats.offer(miss, Answer(b'{"at":\n5}', 5))
    await cache.idle()
    assert await cache.stats.look_up(slot, day) == Answer(b'{"at":\n5}', 5)
    assert isinstance(await cache.stats.look_up(slot, "2024-05-07"), Miss)
    await start_over(cache, slot, 5, repairs=1)
    # A late write of the old statistics does not bring them back.
    cache.stats.offer(miss, Answer(b'{"at":\n5}', 5))
    await cache.idle()
    assert isinstance(await cache.stats.look_up(slot, day), Miss)
