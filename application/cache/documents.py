"""Documents from the cache, and from the views if the cache does not have them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NoReturn, Self
from uuid import UUID

from msgspec import Struct

from application.cache.ports import CachedAnswers, K, Miss, ReadersCache, T
from application.doorbell import GENERATIONS, Doorbell
from application.projector.view_store import ProgressSource, ProjectionProgress, Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import Documents, RenderPage, UserDocument
from application.retry import BackOff
from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.users import USERS

# The cache may be behind the view by up to twice this time before the view is asked instead.
REFRESH_SECONDS: Final = 1.0


class CachedDocuments:
    """See `Documents`. Answers from the cache are as consistent as answers from the views.

    A cached document is used if its position has reached `at_least` and the position that the view
    had at the refresh before the last. So a cache that no follower updates is soon unused.
    """

    def __init__(self, cache: ReadersCache, views: Documents, progress: ProgressSource) -> None:
        self._cache = cache
        self._views = views
        self._users = _WatchedProjection(USERS, progress)
        self._headcount = _WatchedProjection(HEADCOUNT, progress)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, cache: ReadersCache, views: Documents, progress: ProgressSource, doorbell: Doorbell
    ) -> AsyncGenerator[Self]:
        """Refreshes the positions of the views each second; until the first refresh the views answer.

        Refreshes at once after a switch of generations.
        """
        documents = cls(cache, views, progress)
        refreshing = asyncio.create_task(documents._keep_refreshing(doorbell))
        try:
            yield documents
        finally:
            refreshing.cancel()
            await asyncio.gather(refreshing, return_exceptions=True)

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]:
        read = partial(self._views.user, user_id, at_least=at_least)
        return await _answer(self._cache.users, self._users.place, user_id, at_least, read)

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]:
        read = partial(self._views.users, query, render, at_least=at_least)
        return await _answer(self._cache.pages, self._users.place, query, at_least, read)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        read = partial(self._views.stats, now, at_least=at_least)
        return await _answer(self._cache.stats, self._headcount.place, day_of(now), at_least, read)

    async def refresh(self) -> None:
        """Read the positions of the views. Raises `Unavailable`."""
        await asyncio.gather(self._users.refresh(), self._headcount.refresh())

    async def _keep_refreshing(self, doorbell: Doorbell) -> NoReturn:
        back_off = BackOff("cache watch")
        async with doorbell.listen(GENERATIONS) as bell:
            while True:
                try:
                    await self.refresh()
                except Exception as error:
                    # The last positions are still valid: without the views the cache answers.
                    await back_off.wait(error)
                else:
                    back_off.reset()
                await bell.wait(REFRESH_SECONDS)


async def _answer(
    cache: CachedAnswers[K, T],
    place: "_Place | None",
    key: K,
    at_least: int,
    read: Callable[[], Awaitable[Answer[T]]],
) -> Answer[T]:
    """From the cache if that is current, else from the view; offers it to the cache after a miss."""
    known = await cache.look_up(place.slot, key) if place else None
    if place and isinstance(known, Answer):
        if known.position >= max(at_least, place.min_position):
            cache.counts.hits += 1
            return known
        cache.counts.behind += 1
    answer = await read()
    serves = place is not None and answer.generation == place.slot.generation
    # A missing user is not offered: it has no version to compare with.
    if isinstance(known, Miss) and serves and answer.value is not None:
        cache.offer(known, answer)
    return answer


def day_of(now: datetime) -> str:
    """The day (UTC) whose statistics these are, as YYYY-MM-DD."""
    return now.astimezone(UTC).date().isoformat()


class _Place(Struct, frozen=True):
    """The slot of a cached document, and the lowest position at which it may be used."""

    slot: Slot[Any]
    min_position: int


class _WatchedProjection:
    """The serving slot of a projection, with its position at the refresh before the last."""

    def __init__(self, projection: Projection[Any], progress: ProgressSource) -> None:
        self._projection = projection
        self._progress = progress
        self._seen: ProjectionProgress | None = None
        self.place: _Place | None = None
        """None before the first refresh."""

    async def refresh(self) -> None:
        seen = await self._progress.progress(self._projection.name)
        before = self._seen
        if before is None or before.generation != seen.generation:
            before = seen
        self._seen = seen
        self.place = _Place(Slot(self._projection, seen.generation), before.position)
