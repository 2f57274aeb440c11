"""List pages and generations: a page of one generation is never served for another."""

from typing import Any

from msgspec import json

from application.cache.documents import CachedDocuments
from application.cache.ports import Miss
from application.projector.rebuild import rebuild
from application.projector.view_store import Slot
from application.queries.directory import Answer, UserList, UserPage
from application.queries.documents import RenderedDocuments
from projections.users import USERS
from tests.integration.cache.test_generation_cache import Cached, registered, side
from tests.integration.views.test_generations import roll_back
from tests.support.views.rebuilding import ignore_progress

__all__ = ["side"]

OLD, NEW = Slot(USERS), Slot(USERS, 2)
QUERY = UserList()


def render(answer: Answer[UserPage]) -> bytes:
    return json.encode([each.name for each in answer.value.items])


class Lists:
    """Lists with a cache whose followers step only on request."""

    def __init__(self, side: Cached) -> None:
        self._side = side
        queries = side.read_side.queries
        self._documents = CachedDocuments(side.cache, RenderedDocuments(queries), queries)

    async def names(self, generation: int, position: int) -> list[str]:
        """The names that this generation lists at that position, once it is known to serve."""
        await self._documents.refresh()
        answer = await self._documents.users(QUERY, render, at_least=position)
        assert (answer.generation, answer.position) == (generation, position)
        await self._side.cache.idle()
        return json.decode(answer.value)

    async def forge(self, slot: Slot[Any], name: str, position: int) -> None:
        """Store a page whose content names its slot."""
        miss = await self._side.cache.pages.look_up(slot, QUERY)
        assert isinstance(miss, Miss)
        self._side.cache.pages.offer(miss, Answer(json.encode([name]), position))
        await self._side.cache.idle()


async def test_a_page_of_one_generation_is_not_served_for_another(side: Cached) -> None:
    await side.read_side.record(registered("Ada"))
    head = await side.caught_up()
    await side.follow(OLD)
    lists = Lists(side)
    await lists.forge(OLD, "stored for the old one", head)
    assert await lists.names(1, head) == ["stored for the old one"]

    await rebuild(USERS, "test", side.ports, ignore_progress)
    await side.follow(NEW)
    assert await lists.names(2, head) == ["Ada"]
    assert side.cache.counts.pages.hits == 1
    assert await lists.names(2, head) == ["Ada"]
    assert side.cache.counts.pages.hits == 2

    # No user was recorded since, so the old generation's page is still right.
    await roll_back(side, **{"from": 2, "to": 1})
    assert await lists.names(1, head) == ["stored for the old one"]
    await side.read_side.record(registered("Bob"))
    head = await side.caught_up()
    await side.follow(OLD, NEW)
    assert sorted(await lists.names(1, head)) == ["Ada", "Bob"]
    await roll_back(side, **{"from": 1, "to": 2})
    assert sorted(await lists.names(2, head)) == ["Ada", "Bob"]
