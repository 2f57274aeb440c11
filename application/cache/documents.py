"""The documents as the cache has them, and as the views have them where it has not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, Self
from uuid import UUID

from msgspec import Struct

from application.cache.ports import ReadersCache, Vacancy
from application.doorbell import GENERATIONS, Doorbell
from application.projector.view_store import ProjectionProgress, Slot, Standings, partition_of
from application.queries.directory import Answer, UserList
from application.queries.documents import Documents, RenderPage, UserDocument
from application.retry import BackOff
from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.users import USERS

# How far the cache may stay behind the view before the view is asked: at most twice this.
LOOK_SECONDS: Final = 1.0


class CachedDocuments:
    """See `Documents`. What the cache answers is as true as an answer of the views.

    It is used where its position has come to the one that is asked for, and to where the view was
    seen to be a moment ago. So a cache that nobody moves on is left alone instead of growing old.
    """

    def __init__(self, cache: ReadersCache, views: Documents, standings: Standings) -> None:
        self._cache = cache
        self._counts = cache.counts
        self._views = views
        self._users = _Watched(USERS, standings)
        self._headcount = _Watched(HEADCOUNT, standings)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, cache: ReadersCache, views: Documents, standings: Standings, doorbell: Doorbell
    ) -> AsyncGenerator[Self]:
        """With a look at the views each second, which are all there is until the first one.

        Where another generation begins to serve it looks at once.
        """
        documents = cls(cache, views, standings)
        looking = asyncio.create_task(documents._keep_looking(doorbell))
        try:
            yield documents
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]:
        """See `Documents`."""
        place = self._users.place_of(user_id)
        if place is None:
            return await self._views.user(user_id, at_least=at_least)
        known = await self._cache.users.look_up(place.slot, user_id)
        if known is not None:
            if known.position >= max(at_least, place.floor):
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
        """See `Documents`. Pages are kept where one slot has all users, and so all that moves them."""
        place = self._users.only
        if place is None:
            return await self._views.users(query, render, at_least=at_least)
        known = await self._cache.pages.look_up(place.slot, query)
        if isinstance(known, Answer):
            if known.position >= max(at_least, place.floor):
                self._counts.pages.hits += 1
                return known
            self._counts.pages.behind += 1
        answer = await self._views.users(query, render, at_least=at_least)
        if isinstance(known, Vacancy) and answer.generation == place.slot.generation:
            self._cache.pages.offer(known, answer)
        return answer

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        """See `Documents`."""
        place = self._headcount.whole
        if place is None:
            return await self._views.stats(now, at_least=at_least)
        known = await self._cache.stats.look_up(place.slot, day_of(now))
        if known is not None:
            if known.position >= max(at_least, place.floor):
                self._counts.stats.hits += 1
                return known
            self._counts.stats.behind += 1
        answer = await self._views.stats(now, at_least=at_least)
        if answer.generation == place.slot.generation:
            self._cache.stats.offer(place.slot, day_of(now), answer)
        return answer

    async def look(self) -> None:
        """See how far the views are. Raises `Unavailable`."""
        await asyncio.gather(self._users.look(), self._headcount.look())

    async def _keep_looking(self, doorbell: Doorbell) -> NoReturn:
        back_off = BackOff("cache watch")
        async with doorbell.listen(GENERATIONS) as bell:
            while True:
                try:
                    await self.look()
                except Exception as error:
                    # What was seen last still holds: without the views the cache goes on answering.
                    await back_off.wait(error)
                else:
                    back_off.reset()
                await bell.wait(LOOK_SECONDS)


def day_of(now: datetime) -> str:
    """The day (UTC) whose statistics these are, as YYYY-MM-DD."""
    return now.astimezone(UTC).date().isoformat()


class _Place(Struct, frozen=True):
    """Where the cache has what is asked for, and the position that it must have come to."""

    slot: Slot[Any]
    floor: int


class _Watched:
    """A projection's slots that serve, each with the position it had at the last look but one."""

    def __init__(self, projection: Projection[Any], standings: Standings) -> None:
        self._projection = projection
        self._standings = standings
        self._seen: ProjectionProgress | None = None
        self._places: tuple[_Place, ...] = ()

    def place_of(self, stream: UUID) -> _Place | None:
        """The place of one stream; None before the first look."""
        places = self._places
        return places[partition_of(stream, len(places))] if places else None

    @property
    def only(self) -> _Place | None:
        """The one place there is; None where there are more, and before the first look."""
        places = self._places
        return places[0] if len(places) == 1 else None

    @property
    def whole(self) -> _Place | None:
        """The place of what is made from all streams; None before the first look."""
        places = self._places
        return _Place(places[0].slot, min(place.floor for place in places)) if places else None

    async def look(self) -> None:
        seen = await self._standings.standing(self._projection.name)
        before = self._seen
        if before is None or before.generation != seen.generation:
            before = seen
        self._seen = seen
        self._places = tuple(
            _Place(Slot(self._projection, seen.generation, partition), before.positions[partition])
            for partition in sorted(seen.positions)
        )
