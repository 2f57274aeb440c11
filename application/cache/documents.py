"""Documents from the cache, and from the views if the cache does not have them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, Self
from uuid import UUID

from msgspec import Struct

from application.cache.ports import PageMiss, ReadersCache
from application.doorbell import GENERATIONS, Doorbell
from application.projector.view_store import ProgressSource, ProjectionProgress, Slot, partition_of
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
        self._counts = cache.counts
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
        """See `Documents`."""
        place = self._users.place_of(user_id)
        if place is None:
            return await self._views.user(user_id, at_least=at_least)
        known = await self._cache.users.look_up(place.slot, user_id)
        if known is not None:
            if known.position >= max(at_least, place.min_position):
                self._counts.users.hits += 1
                return known
            self._counts.users.behind += 1
        answer = await self._views.user(user_id, at_least=at_least)
        if known is None and answer.value and answer.generation == place.slot.generation:
            self._cache.users.offer(place.slot, user_id, answer.value, answer.position)
        return answer

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]:
        """See `Documents`. Pages are cached only if one slot has all users."""
        place = self._users.only
        if place is None:
            return await self._views.users(query, render, at_least=at_least)
        known = await self._cache.pages.look_up(place.slot, query)
        if isinstance(known, Answer):
            if known.position >= max(at_least, place.min_position):
                self._counts.pages.hits += 1
                return known
            self._counts.pages.behind += 1
        answer = await self._views.users(query, render, at_least=at_least)
        if isinstance(known, PageMiss) and answer.generation == place.slot.generation:
            self._cache.pages.offer(known, answer)
        return answer

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        """See `Documents`."""
        place = self._headcount.whole
        if place is None:
            return await self._views.stats(now, at_least=at_least)
        known = await self._cache.stats.look_up(place.slot, day_of(now))
        if known is not None:
            if known.position >= max(at_least, place.min_position):
                self._counts.stats.hits += 1
                return known
            self._counts.stats.behind += 1
        answer = await self._views.stats(now, at_least=at_least)
        if answer.generation == place.slot.generation:
            self._cache.stats.offer(place.slot, day_of(now), answer)
        return answer

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


def day_of(now: datetime) -> str:
    """The day (UTC) whose statistics these are, as YYYY-MM-DD."""
    return now.astimezone(UTC).date().isoformat()


class _Place(Struct, frozen=True):
    """The slot of a cached document, and the lowest position at which it may be used."""

    slot: Slot[Any]
    min_position: int


class _WatchedProjection:
    """The serving slots of a projection, each with its position at the refresh before the last."""

    def __init__(self, projection: Projection[Any], progress: ProgressSource) -> None:
        self._projection = projection
        self._progress = progress
        self._seen: ProjectionProgress | None = None
        self._places: tuple[_Place, ...] = ()

    def place_of(self, stream: UUID) -> _Place | None:
        """The place of one stream; None before the first refresh."""
        places = self._places
        return places[partition_of(stream, len(places))] if places else None

    @property
    def only(self) -> _Place | None:
        """The only place; None if there are more, and before the first refresh."""
        places = self._places
        return places[0] if len(places) == 1 else None

    @property
    def whole(self) -> _Place | None:
        """The place of a document about all streams; None before the first refresh."""
        places = self._places
        return (
            _Place(places[0].slot, min(place.min_position for place in places)) if places else None
        )

    async def refresh(self) -> None:
        seen = await self._progress.progress(self._projection.name)
        before = self._seen
        if before is None or before.generation != seen.generation:
            before = seen
        self._seen = seen
        self._places = tuple(
            _Place(Slot(self._projection, seen.generation, partition), before.positions[partition])
            for partition in sorted(seen.positions)
        )
