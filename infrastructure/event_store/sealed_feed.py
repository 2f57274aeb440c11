"""The feed for the relay: pages of events whose personal fields stay sealed."""

from typing import Final

from application.log.event_log import FeedPage
from infrastructure.database import Database
from infrastructure.event_store.event_rows import SEALED_COLUMNS, WITH_KEY, sealed
from infrastructure.event_store.identity import LogBreak, raise_if_gone

_PAGE: Final = f"""
SELECT {SEALED_COLUMNS} FROM {WITH_KEY}
WHERE e.notification_id > %s ORDER BY e.notification_id LIMIT %s"""
_PAGE_SECONDS: Final = 3.0


class PostgresSealedFeed:
    """Like `PostgresEventFeed`, but its events are `Sealed` and it needs no key."""

    def __init__(self, reader: Database, breaks: tuple[LogBreak, ...] = ()) -> None:
        self._reader = reader
        self._breaks = breaks

    async def read(self, after: int, limit: int) -> FeedPage:
        """See `EventFeed.read`."""
        raise_if_gone(after, self._breaks)
        rows = await self._reader.rows(_PAGE, (after, limit), seconds=_PAGE_SECONDS)
        events = [sealed(row) for row in rows]
        return FeedPage(events=events, reached=events[-1].position if events else after)
