"""In-memory logs for readers: in order of positions, and by stream."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

from application.errors import Unavailable
from application.log.by_stream import Place
from application.log.event_log import FeedPage
from application.log.search import EventFilter
from domain.event import Event, Recorded


class ListFeed:
    """See `SearchableFeed`; a page has `limit` events at most, also if the caller asks for more."""

    def __init__(self, events: Sequence[Recorded[Event]] = (), limit: int = 1000) -> None:
        self.events = list(events)
        self.limit = limit
        self.is_unavailable = False

    async def read(self, after: int, limit: int) -> FeedPage:
        if self.is_unavailable:
            raise Unavailable
        later = [event for event in self.events if event.position > after]
        page = later[: min(limit, self.limit)]
        return FeedPage(events=page, reached=page[-1].position if page else after)

    async def search(self, after: int, wanted: EventFilter, limit: int) -> FeedPage:
        """Examines a page of `limit` events, like `read`."""
        page = await self.read(after, limit)
        return FeedPage(events=list(filter(wanted.matches, page.events)), reached=page.reached)

    async def head(self) -> int:
        return self.events[-1].position if self.events else 0

    async def event(self, event_id: UUID) -> Recorded[Event] | None:
        return next((event for event in self.events if event.event_id == event_id), None)


class LogByStream:
    """See `EventsByStream`."""

    def __init__(self, log: Sequence[Recorded[Event]]) -> None:
        self._log = sorted(log, key=lambda each: (each.stream, each.version))

    async def head(self) -> int:
        return max((each.position for each in self._log), default=0)

    async def about_how_many(self, up_to: int) -> int:
        return sum(each.position <= up_to for each in self._log)

    async def read(
        self, kinds: Collection[str], after: Place, up_to: int, limit: int
    ) -> Sequence[Recorded[Event]]:
        await asyncio.sleep(0)
        place = (after.stream, after.version)
        asked = (each for each in self._log if each.kind in kinds and each.position <= up_to)
        return [each for each in asked if (each.stream, each.version) > place][:limit]
