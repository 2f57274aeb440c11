"""The feed of the log: pages of events after a position."""

from datetime import UTC, datetime, timedelta
from typing import Final, cast
from uuid import UUID

from application.keys.ports import KeyRing
from application.log.event_log import FeedPage
from domain.event import Event, Recorded
from infrastructure.database import Database
from infrastructure.event_store.event_rows import COLUMNS, WITH_KEY, recorded
from infrastructure.event_store.identity import LogBreak, raise_if_gone

_PAGE: Final = f"""
SELECT {COLUMNS} FROM {WITH_KEY}
WHERE e.notification_id > %s ORDER BY e.notification_id LIMIT %s"""
_HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM stored_events"
_EVENT: Final = f"""
SELECT {COLUMNS} FROM {WITH_KEY}
WHERE e.event_id = %s AND e.recorded_at BETWEEN %s AND %s"""

# An event id is a UUIDv7 with the application's time, made a moment before the database sets the
# event's time. The time index is searched in a window as wide as the two clocks may differ.
_WINDOWS: Final = (timedelta(minutes=5), timedelta(days=1))
_UUID7: Final = 7
_PAGE_SECONDS: Final = 3.0


class PostgresEventFeed:
    """Commit order is position order, so a page after a position misses no event."""

    def __init__(self, reader: Database, keys: KeyRing, breaks: tuple[LogBreak, ...] = ()) -> None:
        self._reader = reader
        self._keys = keys
        self._breaks = breaks

    async def read(self, after: int, limit: int) -> FeedPage:
        """See `EventFeed.read`."""
        raise_if_gone(after, self._breaks)
        rows = await self._reader.rows(_PAGE, (after, limit), seconds=_PAGE_SECONDS)
        events = [recorded(row, self._keys, leniently=True) for row in rows]
        return FeedPage(events=events, reached=events[-1].position if events else after)

    async def head(self) -> int:
        """See `EventFeed.head`."""
        rows = await self._reader.rows(_HEAD)
        return cast("int", rows[0][0])

    async def event(self, event_id: UUID) -> Recorded[Event] | None:
        """See `EventFeed.event`."""
        if event_id.version != _UUID7:
            return None
        made_at = datetime.fromtimestamp((event_id.int >> 80) / 1000, tz=UTC)
        for window in _WINDOWS:
            bounds = (event_id, made_at - window, made_at + window)
            if rows := await self._reader.rows(_EVENT, bounds):
                return recorded(rows[0], self._keys, leniently=True)
        return None
