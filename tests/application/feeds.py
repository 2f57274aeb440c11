"""A log in memory for readers."""

from collections.abc import Sequence
from uuid import UUID

from application.errors import Unavailable
from application.event_log import FeedPage
from domain.event import Event, Recorded


class ListFeed:
    """See `EventFeed`; `limit` events a page at most, whatever is asked for."""

    def __init__(self, events: Sequence[Recorded[Event]] = (), limit: int = 1000) -> None:
        self.events = list(events)
        self.limit = limit
        self.is_away = False

    async def read(self, after: int, limit: int) -> FeedPage:
        if self.is_away:
            raise Unavailable
        later = [event for event in self.events if event.position > after]
        page = later[: min(limit, self.limit)]
        return FeedPage(events=page, reached=page[-1].position if page else after)

    async def head(self) -> int:
        return self.events[-1].position if self.events else 0

    async def event(self, event_id: UUID) -> Recorded[Event] | None:
        return next((event for event in self.events if event.event_id == event_id), None)
