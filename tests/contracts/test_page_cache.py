"""What every cache keeps of lists: a page counts as long as its slot is as it was."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from application.cache.ports import Step, Vacancy
from application.projector.view_store import Slot
from application.queries.directory import Answer, ListCursor, UserList
from application.queries.documents import UserDocument
from infrastructure.cache.redis_cache import RedisCache
from projections.users import USERS
from tests.support.doubles.cache import MemoryCache
from tests.support.views.histories import YAN, ZOE

SLOT: Final = Slot[Any](USERS)
OTHERS: Final = (Slot[Any](USERS, 2), Slot[Any](USERS, 1, 1))
QUERY: Final = UserList(words="zo", limit=10)
DOCUMENT: Final = UserDocument(2, "active", "2024-05-06T07:08:09.123456Z", b"{}")

Cache = MemoryCache | RedisCache


@pytest.fixture(autouse=True)
async def begun(cache: Cache) -> None:
    await cache.following.begin(SLOT, 5)


async def vacancy(cache: Cache, query: UserList = QUERY, slot: Slot[Any] = SLOT) -> Vacancy:
    found = await cache.pages.look_up(slot, query)
    assert isinstance(found, Vacancy)
    return found


async def offer(cache: Cache, place: Vacancy, position: int, body: bytes = b"page") -> None:
    cache.pages.offer(place, Answer(body, position, place.slot.generation))
    await cache.idle()


async def filled(cache: Cache, position: int = 5, query: UserList = QUERY) -> None:
    await offer(cache, await vacancy(cache, query), position)
    assert await known(cache, query)


async def known(cache: Cache, query: UserList = QUERY, slot: Slot[Any] = SLOT) -> bool:
    return isinstance(await cache.pages.look_up(slot, query), Answer)


def step(after: int, reached: int, read_at: int | None = None) -> Step:
    return Step(after=after, reached=reached, read_at=read_at or reached, users={ZOE: DOCUMENT})


async def test_a_page_comes_back_as_it_was_offered_with_its_own_position(cache: Cache) -> None:
    await offer(cache, await vacancy(cache), 7, b'{"items":[]}\n\n')
    assert await cache.pages.look_up(SLOT, QUERY) == Answer(b'{"items":[]}\n\n', 7)


async def test_each_query_limit_and_place_has_a_page_of_its_own(cache: Cache) -> None:
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
        await offer(cache, await vacancy(cache, query), 5, b"%d" % n)
    found = [await cache.pages.look_up(SLOT, query) for query in queries]
    assert found == [Answer(b"%d" % n, 5) for n in range(len(queries))]


async def test_a_slot_without_a_position_has_no_place_for_pages(cache: Cache) -> None:
    for slot in OTHERS:
        assert await cache.pages.look_up(slot, QUERY) is None


async def test_slots_are_apart(cache: Cache) -> None:
    for slot in OTHERS:
        await cache.following.begin(slot, 5)
    await filled(cache)
    for slot in OTHERS:
        assert not await known(cache, slot=slot)
        await offer(cache, await vacancy(cache, slot=slot), 6)
    await cache.following.advance(SLOT, step(5, 6))
    assert [await known(cache, slot=slot) for slot in (SLOT, *OTHERS)] == [False, True, True]


async def test_what_was_read_before_the_position_is_not_taken(cache: Cache) -> None:
    """A view that has lost its end in a crash is behind its cache."""
    await offer(cache, await vacancy(cache), 4)
    assert not await known(cache)


async def test_a_slot_that_moves_on_has_no_pages_any_more(cache: Cache) -> None:
    queries = [QUERY, replace(QUERY, limit=11)]
    for query in queries:
        await filled(cache, 9, query)
    await cache.following.advance(SLOT, step(5, 6))
    assert [await known(cache, query) for query in queries] == [False, False]


async def test_a_step_that_does_not_fit_or_comes_late_takes_nothing_away(cache: Cache) -> None:
    await filled(cache)
    await cache.following.advance(SLOT, step(6, 8))
    await cache.following.advance(SLOT, step(3, 4))
    assert await known(cache)


@pytest.mark.parametrize("meanwhile", ["moved on", "mended on the spot", "began again"])
async def test_what_was_missed_before_something_happened_is_not_taken_after_it(
    cache: Cache, meanwhile: str
) -> None:
    """Who was slow may have read a person who was erased or mended since."""
    await filled(cache, 9)
    place = await vacancy(cache, other := replace(QUERY, limit=11))
    match meanwhile:
        case "moved on":
            await cache.following.advance(SLOT, step(5, 6))
        case "mended on the spot":
            await cache.following.advance(SLOT, step(0, 0, 5))
        case _:
            await cache.erasing.begin_again(SLOT, 5)
    await offer(cache, place, 9)
    assert (await known(cache), await known(cache, other)) == (False, False)
    await filled(cache, 9, other)


async def test_readers_take_nothing_away(cache: Cache) -> None:
    await filled(cache)
    cache.users.offer(SLOT, ZOE, DOCUMENT, 5)
    await cache.idle()
    await cache.following.begin(SLOT, 9)
    assert await known(cache)


async def test_who_forgets_a_person_forgets_all_pages_of_these_slots(cache: Cache) -> None:
    for slot in OTHERS:
        await cache.following.begin(slot, 5)
        await offer(cache, await vacancy(cache, slot=slot), 5)
    await filled(cache)
    await cache.erasing.forget(YAN, [SLOT, OTHERS[0]])
    assert [await known(cache, slot=slot) for slot in (SLOT, *OTHERS)] == [False, False, True]


async def test_a_page_for_a_vacancy_of_long_ago_is_taken_while_nothing_moved(cache: Cache) -> None:
    place = await vacancy(cache)
    await offer(cache, place, 5, b"old")
    await offer(cache, place, 6, b"new")
    assert await cache.pages.look_up(SLOT, QUERY) == Answer(b"new", 6)
