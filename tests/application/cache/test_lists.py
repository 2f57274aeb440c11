"""Lists come from the cache until a user changes, and then from the views."""

import pytest

from application.cache.documents import CachedDocuments
from application.errors import Unavailable, ViewBehind
from application.queries.directory import Answer, UserList, UserPage
from tests.application.cache.test_documents import YAN, ZOE, Counting, Setting


class Lists(Setting):
    """Lists of users whose views are one slot."""

    def __init__(self, views: Counting) -> None:
        super().__init__()
        self.views = views
        self.documents = CachedDocuments(self.cache, views, views)

    async def page(self, at_least: int = 0) -> Answer[bytes]:
        """The list; from either source, it is as the view had it at its position."""
        answer = await self.documents.users(UserList(), _never_rendered, at_least=at_least)
        assert answer.value == self.views.page(answer.position)
        assert answer.position >= at_least
        return answer


def _never_rendered(answer: Answer[UserPage]) -> bytes:
    raise AssertionError(answer)


@pytest.fixture
async def lists() -> Lists:
    lists = Lists(Counting())
    await lists.begin()
    return lists


async def test_a_list_comes_from_the_cache_until_a_user_changes(lists: Lists) -> None:
    first = await lists.page()
    assert await lists.page() == first
    assert lists.views.reads == 1
    lists.change(YAN)
    assert await lists.page() == first
    await lists.follow()
    assert (await lists.page()).position == lists.views.view
    assert lists.views.reads == 2
    counts = lists.cache.counts.pages
    assert (counts.hits, counts.behind) == (2, 0)


async def test_a_list_behind_the_requested_position_is_not_used(lists: Lists) -> None:
    await lists.page()
    lists.change(ZOE)
    await lists.page(at_least=lists.views.head)
    assert (lists.views.reads, lists.cache.counts.pages.behind) == (2, 1)
    with pytest.raises(ViewBehind):
        await lists.page(at_least=lists.views.head + 1)


async def test_a_list_without_a_running_follower_is_not_used(lists: Lists) -> None:
    await lists.page()
    lists.change(YAN)
    for _ in range(2):
        await lists.documents.refresh()
    assert (await lists.page()).position == lists.views.head
    assert lists.views.reads == 2


async def test_a_list_of_another_generation_is_neither_served_nor_cached(lists: Lists) -> None:
    await lists.page()
    lists.views.generation = 2
    assert (
        await lists.page()
    ).generation == 1  # progress not read yet: still the former generation
    lists.change(ZOE)
    await lists.follow()
    for reads in (2, 3):  # answers of the new one are not cached for the former
        assert (await lists.page()).generation == 2
        assert lists.views.reads == reads
    await lists.documents.refresh()
    assert (await lists.page()).generation == 2
    assert lists.views.reads == 4


async def test_before_the_first_refresh_lists_come_from_the_views(lists: Lists) -> None:
    lists.documents = CachedDocuments(lists.cache, lists.views, lists.views)
    for _ in range(2):
        await lists.page()
    assert lists.views.reads == 2


async def test_a_cached_list_is_served_while_the_views_are_unavailable(lists: Lists) -> None:
    before = await lists.page()
    lists.views.is_unavailable = True
    assert await lists.page() == before
    with pytest.raises(Unavailable):
        await lists.page(at_least=before.position + 1)
