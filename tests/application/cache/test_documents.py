"""Documents come from the cache if it has reached the views, and from the views otherwise."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.cache.documents import CachedDocuments
from application.cache.followers import CacheFollower
from application.errors import Unavailable, ViewBehind
from application.projector.view_store import ProjectionProgress, Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import RenderPage, UserDocument
from infrastructure.doorbell.memory import MemoryDoorbell
from projections.headcount import HEADCOUNT
from tests.support.doubles.cache import MemoryCache
from tests.support.views.cache_model import SLOT, USER_IDS, World

NOW = datetime(2024, 5, 6, 23, 59, tzinfo=UTC)
ZOE, YAN = USER_IDS[:2]


class Counting(World):
    """Views that count their reads, can be unavailable, and can be another generation."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.is_unavailable = False
        self.generation = 1

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]:
        self._count_read()
        answer = await super().user(user_id, at_least=at_least)
        return replace(answer, generation=self.generation)

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]:
        self._count_read()
        answer = await super().users(query, render, at_least=at_least)
        return replace(answer, generation=self.generation)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        self._count_read()
        return replace(await super().stats(now, at_least=at_least), generation=self.generation)

    async def progress(self, projection: str) -> ProjectionProgress:
        if self.is_unavailable:
            raise Unavailable
        return replace(await super().progress(projection), generation=self.generation)

    def _count_read(self) -> None:
        self.reads += 1
        if self.is_unavailable:
            raise Unavailable


class Setting:
    """Two users with views, a cache that has begun, and documents that read the progress once."""

    def __init__(self) -> None:
        self.views = Counting()
        self.cache = MemoryCache()
        self.documents = CachedDocuments(self.cache, self.views, self.views)

    async def begin(self) -> None:
        self.change(ZOE)
        self.change(YAN)
        await self.follow()
        await self.documents.refresh()

    def change(self, user_id: UUID) -> None:
        self.views.record(user_id, "rename", 0)
        self.views.project(self.views.head)

    async def follow(self) -> None:
        for slot in (SLOT, Slot[Any](HEADCOUNT, self.views.generation)):
            while await CacheFollower(slot, self.cache, self.views, self.views).step():
                pass

    async def read(self, user_id: UUID = ZOE, at_least: int = 0) -> Answer[UserDocument | None]:
        """A user; from either source, it is as the views had it then or later."""
        answer = await self.documents.user(user_id, at_least=at_least)
        assert self.views.allows(user_id, answer)
        assert answer.position >= at_least
        return answer


@pytest.fixture
async def setting() -> Setting:
    setting = Setting()
    await setting.begin()
    return setting


async def test_a_second_read_comes_from_the_cache(setting: Setting) -> None:
    first = await setting.read()
    assert await setting.read() == first
    assert setting.views.reads == 1


async def test_a_change_comes_from_the_cache_after_the_follower_has_run(setting: Setting) -> None:
    before = await setting.read()
    setting.change(ZOE)
    assert await setting.read() == before
    await setting.follow()
    after = await setting.read()
    assert (before.value and before.value.version, after.value and after.value.version) == (1, 2)
    assert setting.views.reads == 1


async def test_a_cache_behind_the_requested_position_is_not_used(setting: Setting) -> None:
    await setting.read()
    setting.change(ZOE)
    await setting.read(at_least=setting.views.head)
    assert setting.views.reads == 2
    with pytest.raises(ViewBehind):
        await setting.read(at_least=setting.views.head + 1)


async def test_a_cache_without_a_running_follower_is_not_used(setting: Setting) -> None:
    """Its position is correct, but its documents are out of date."""
    await setting.read()
    setting.change(YAN)
    await setting.documents.refresh()
    await setting.read()
    assert setting.views.reads == 1
    await setting.documents.refresh()
    answer = await setting.read()
    assert (setting.views.reads, answer.position) == (2, setting.views.head)


async def test_before_the_first_refresh_documents_come_from_the_views(setting: Setting) -> None:
    documents = CachedDocuments(setting.cache, setting.views, setting.views)
    for _ in range(2):
        await documents.user(ZOE)
        await documents.stats(NOW)
    assert setting.views.reads == 4


async def test_the_cache_answers_while_the_views_are_unavailable(setting: Setting) -> None:
    before = await setting.read()
    setting.views.is_unavailable = True
    with pytest.raises(Unavailable):
        await setting.documents.refresh()
    assert await setting.read() == before
    with pytest.raises(Unavailable):
        await setting.read(YAN)


async def test_each_generation_has_its_own_cache(setting: Setting) -> None:
    await setting.read()
    setting.views.generation = 2
    assert (
        await setting.read()
    ).generation == 1  # progress not read yet: still the former generation
    assert await setting.read(YAN) == await setting.read(YAN)
    assert setting.views.reads == 3  # answers of the new one are not cached for the former
    await setting.documents.refresh()
    assert (await setting.read()).generation == 2
    assert setting.views.reads == 4


async def test_a_missing_user_is_not_cached(setting: Setting) -> None:
    for _ in range(2):
        assert (await setting.read(USER_IDS[2])).value is None
    assert setting.views.reads == 2


async def test_statistics_are_cached_for_one_day_and_one_position(setting: Setting) -> None:
    first = await setting.documents.stats(NOW)
    assert await setting.documents.stats(NOW) == first
    assert setting.views.reads == 1
    await setting.documents.stats(NOW.replace(day=7))
    assert setting.views.reads == 2
    setting.change(ZOE)
    later = await setting.documents.stats(NOW, at_least=setting.views.head)
    assert (setting.views.reads, later.position) == (3, setting.views.head)
    await setting.follow()
    for _ in range(2):
        assert await setting.documents.stats(NOW) == later
    assert setting.views.reads == 4


async def test_progress_is_refreshed_while_the_cache_is_open(setting: Setting) -> None:
    async with CachedDocuments.open(
        setting.cache, setting.views, setting.views, MemoryDoorbell()
    ) as documents:
        await asyncio.sleep(0.01)
        for _ in range(3):
            await documents.user(ZOE)
    assert setting.views.reads == 1


async def test_the_result_of_each_look_up_is_counted(setting: Setting) -> None:
    await setting.read()
    await setting.read()
    setting.change(ZOE)
    await setting.read(at_least=setting.views.head)
    for _ in range(2):
        await setting.documents.stats(NOW)
    await setting.documents.stats(NOW, at_least=setting.views.head)
    counts = setting.cache.counts
    assert (counts.users.hits, counts.users.behind) == (1, 1)
    assert (counts.stats.hits, counts.stats.behind) == (2, 0)
