"""Documents from the cache where it is as far as the views, and from the views where it is not."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.cache.documents import CachedDocuments
from application.cache.followers import UserCacheFollower
from application.errors import Unavailable, ViewBehind
from application.projector.view_store import ProjectionProgress
from application.queries.directory import Answer, UserList
from application.queries.documents import RenderPage, UserDocument
from infrastructure.doorbell.memory import MemoryDoorbell
from tests.support.doubles.cache import MemoryCache
from tests.support.views.cache_world import SLOTS, USER_IDS, World

NOW = datetime(2024, 5, 6, 23, 59, tzinfo=UTC)
ZOE, YAN = USER_IDS[:2]


class Counting(World):
    """Views that count how often they are asked, may be away, and may be another generation."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.is_away = False
        self.generation = 1

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]:
        self._ask()
        answer = await super().user(user_id, at_least=at_least)
        return replace(answer, generation=self.generation)

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]:
        self._ask()
        answer = await super().users(query, render, at_least=at_least)
        return replace(answer, generation=self.generation)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        self._ask()
        return replace(await super().stats(now, at_least=at_least), generation=self.generation)

    async def standing(self, projection: str) -> ProjectionProgress:
        if self.is_away:
            raise Unavailable
        return replace(await super().standing(projection), generation=self.generation)

    def _ask(self) -> None:
        self.asked += 1
        if self.is_away:
            raise Unavailable


class Setting:
    """Two users and their views, a cache that has begun, and documents that have looked once."""

    def __init__(self) -> None:
        self.views = Counting()
        self.cache = MemoryCache()
        self.documents = CachedDocuments(self.cache, self.views, self.views)

    async def begin(self) -> None:
        self.change(ZOE)
        self.change(YAN)
        await self.follow()
        await self.documents.look()

    def change(self, user_id: UUID) -> None:
        self.views.record(user_id, "rename", 0)
        for partition in self.views.views:
            self.views.project(partition, self.views.head)

    async def follow(self) -> None:
        for slot in SLOTS:
            while await UserCacheFollower(
                slot, self.cache.following, self.views, self.views
            ).step():
                pass

    async def read(self, user_id: UUID = ZOE, at_least: int = 0) -> Answer[UserDocument | None]:
        """A user; whatever it comes from, it is as the views had it then or later."""
        answer = await self.documents.user(user_id, at_least=at_least)
        assert self.views.allows(user_id, answer)
        assert answer.position >= at_least
        return answer


@pytest.fixture
async def setting() -> Setting:
    setting = Setting()
    await setting.begin()
    return setting


async def test_what_was_read_once_comes_from_the_cache(setting: Setting) -> None:
    first = await setting.read()
    assert await setting.read() == first
    assert setting.views.asked == 1


async def test_a_change_comes_from_the_cache_once_it_has_followed(setting: Setting) -> None:
    before = await setting.read()
    setting.change(ZOE)
    assert await setting.read() == before
    await setting.follow()
    after = await setting.read()
    assert (before.value and before.value.version, after.value and after.value.version) == (1, 2)
    assert setting.views.asked == 1


async def test_a_cache_that_is_behind_what_is_asked_for_is_passed_over(setting: Setting) -> None:
    await setting.read()
    setting.change(ZOE)
    await setting.read(at_least=setting.views.head)
    assert setting.views.asked == 2
    with pytest.raises(ViewBehind):
        await setting.read(at_least=setting.views.head + 1)


async def test_a_cache_that_nobody_moves_on_is_left_alone(setting: Setting) -> None:
    """Its position is true, but nobody wants to see the directory of yesterday."""
    await setting.read()
    setting.change(YAN)
    await setting.documents.look()
    await setting.read()
    assert setting.views.asked == 1
    await setting.documents.look()
    answer = await setting.read()
    assert (setting.views.asked, answer.position) == (2, setting.views.head)


async def test_before_the_first_look_there_are_only_the_views(setting: Setting) -> None:
    documents = CachedDocuments(setting.cache, setting.views, setting.views)
    for _ in range(2):
        await documents.user(ZOE)
        await documents.stats(NOW)
    assert setting.views.asked == 4


async def test_without_the_views_the_cache_goes_on(setting: Setting) -> None:
    before = await setting.read()
    setting.views.is_away = True
    with pytest.raises(Unavailable):
        await setting.documents.look()
    assert await setting.read() == before
    with pytest.raises(Unavailable):
        await setting.read(YAN)


async def test_another_generation_has_a_cache_of_its_own(setting: Setting) -> None:
    await setting.read()
    setting.views.generation = 2
    assert (await setting.read()).generation == 1  # not looked yet: the former goes on for now
    assert await setting.read(YAN) == await setting.read(YAN)
    assert setting.views.asked == 3  # what the new one answers is not kept for the former
    await setting.documents.look()
    assert (await setting.read()).generation == 2
    assert setting.views.asked == 4


async def test_nobody_is_not_remembered(setting: Setting) -> None:
    for _ in range(2):
        assert (await setting.read(USER_IDS[2])).value is None
    assert setting.views.asked == 2


async def test_the_statistics_are_kept_for_a_day_and_a_position(setting: Setting) -> None:
    first = await setting.documents.stats(NOW)
    assert await setting.documents.stats(NOW) == first
    assert setting.views.asked == 1
    await setting.documents.stats(NOW.replace(day=7))
    assert setting.views.asked == 2
    setting.change(ZOE)
    later = await setting.documents.stats(NOW, at_least=setting.views.head)
    assert (setting.views.asked, later.position) == (3, setting.views.head)
    assert await setting.documents.stats(NOW) == later
    assert setting.views.asked == 3


async def test_the_views_are_looked_at_while_it_is_open(setting: Setting) -> None:
    async with CachedDocuments.open(
        setting.cache, setting.views, setting.views, MemoryDoorbell()
    ) as documents:
        await asyncio.sleep(0.01)
        for _ in range(3):
            await documents.user(ZOE)
    assert setting.views.asked == 1


async def test_what_became_of_each_look_up_is_counted(setting: Setting) -> None:
    await setting.read()
    await setting.read()
    setting.change(ZOE)
    await setting.read(at_least=setting.views.head)
    for _ in range(2):
        await setting.documents.stats(NOW)
    await setting.documents.stats(NOW, at_least=setting.views.head)
    counts = setting.cache.counts
    assert (counts.users.hits, counts.users.behind) == (1, 1)
    assert counts.stats.hits == 2
