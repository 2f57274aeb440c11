"""Lists from the cache as long as nobody in them changes, and from the views else."""

import pytest
from msgspec.structs import replace

from application.cache.documents import CachedDocuments
from application.errors import Unavailable, ViewBehind
from application.projector.view_store import ProjectionProgress
from application.queries.directory import Answer, UserList, UserPage
from tests.application.cache.test_documents import YAN, ZOE, Counting, Setting


class OfOnePartition(Counting):
    """The first partition is all there is."""

    async def standing(self, projection: str) -> ProjectionProgress:
        standing = await super().standing(projection)
        return replace(standing, positions={0: standing.positions[0]})


class Lists(Setting):
    """Lists of users whose views are one slot."""

    def __init__(self, views: Counting) -> None:
        super().__init__()
        self.views = views
        self.documents = CachedDocuments(self.cache, views, views)

    async def page(self, at_least: int = 0) -> Answer[bytes]:
        """The list; whatever it comes from, it is as the view had it at its position."""
        answer = await self.documents.users(UserList(), _not_asked, at_least=at_least)
        assert answer.value == self.views.page(0, answer.position)
        assert answer.position >= at_least
        return answer


def _not_asked(answer: Answer[UserPage]) -> bytes:
    raise AssertionError(answer)


@pytest.fixture
async def lists() -> Lists:
    lists = Lists(OfOnePartition())
    await lists.begin()
    return lists


async def test_a_list_comes_from_the_cache_until_anybody_changes(lists: Lists) -> None:
    first = await lists.page()
    assert await lists.page() == first
    assert lists.views.asked == 1
    lists.change(YAN)
    assert await lists.page() == first
    await lists.follow()
    assert (await lists.page()).position == lists.views.views[0]
    assert lists.views.asked == 2
    counts = lists.cache.counts.pages
    assert (counts.hits, counts.behind) == (2, 0)


async def test_a_list_that_is_behind_what_is_asked_for_is_passed_over(lists: Lists) -> None:
    await lists.page()
    lists.change(ZOE)
    await lists.page(at_least=lists.views.head)
    assert (lists.views.asked, lists.cache.counts.pages.behind) == (2, 1)
    with pytest.raises(ViewBehind):
        await lists.page(at_least=lists.views.head + 1)


async def test_a_list_that_nobody_moves_on_is_left_alone(lists: Lists) -> None:
    await lists.page()
    lists.change(YAN)
    for _ in range(2):
        await lists.documents.look()
    assert (await lists.page()).position == lists.views.head
    assert lists.views.asked == 2


async def test_a_list_of_another_generation_is_neither_served_nor_kept(lists: Lists) -> None:
    await lists.page()
    lists.views.generation = 2
    assert (await lists.page()).generation == 1  # not looked yet: the former goes on for now
    lists.change(ZOE)
    await lists.follow()
    for asked in (2, 3):  # what the new one answers is not kept for the former
        assert (await lists.page()).generation == 2
        assert lists.views.asked == asked
    await lists.documents.look()
    assert (await lists.page()).generation == 2
    assert lists.views.asked == 4


async def test_before_the_first_look_lists_come_from_the_views(lists: Lists) -> None:
    lists.documents = CachedDocuments(lists.cache, lists.views, lists.views)
    for _ in range(2):
        await lists.page()
    assert lists.views.asked == 2


async def test_lists_of_several_partitions_are_not_kept() -> None:
    """What moves one of them would not take away what the others show."""
    lists = Lists(Counting())
    await lists.begin()
    for _ in range(2):
        await lists.page()
    assert lists.views.asked == 2


async def test_without_the_views_a_cached_list_goes_on(lists: Lists) -> None:
    before = await lists.page()
    lists.views.is_away = True
    assert await lists.page() == before
    with pytest.raises(Unavailable):
        await lists.page(at_least=before.position + 1)
