"""The log in pages: after a position, or stream by stream over its primary key."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast
from uuid import UUID

from application.cache.ports import ChangedStreams
from application.log.by_stream import Place
from application.log.event_log import FeedPage
from application.log.search import EventFilter
from application.turns import in_slices
from domain.event import Event, Recorded
from infrastructure.database import Database
from infrastructure.event_store.identity import LogBreak, raise_if_gone
from infrastructure.event_store.mapper import RollbookMapper, sealed
from infrastructure.event_store.search_statements import IN_ORDER, search_statement
from infrastructure.event_store.stored_rows import (
    COLUMNS,
    PROBED_KEY,
    SEALED_COLUMNS,
    WITH_KEY,
    Row,
    StoredRow,
)

_AFTER: Final = f"""
FROM {WITH_KEY} WHERE e.notification_id > %s ORDER BY e.notification_id LIMIT %s"""
_PAGE: Final = f"SELECT {COLUMNS} {_AFTER}"
_SEALED_PAGE: Final = f"SELECT {SEALED_COLUMNS} {_AFTER}"
_AT: Final = f"""
SELECT {COLUMNS} FROM stored_events e {PROBED_KEY} WHERE e.notification_id = %s"""
_SEALED_AT: Final = f"""
SELECT {SEALED_COLUMNS} FROM stored_events e {PROBED_KEY}
WHERE e.notification_id = ANY (%s) ORDER BY e.notification_id"""
_CHANGED: Final = """
SELECT notification_id, kind, originator_id FROM stored_events
WHERE notification_id > %s ORDER BY notification_id LIMIT %s"""
_HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM stored_events"
_EVENT: Final = f"""
SELECT {COLUMNS} FROM {WITH_KEY}
WHERE e.event_id = %s AND e.recorded_at BETWEEN %s AND %s"""
_EVENT_NEAR: Final = f"""
{Path(__file__).with_name("sql").joinpath("event_near.sql").read_text()}
SELECT {COLUMNS} FROM around e {PROBED_KEY} WHERE e.event_id = %(id)s"""

_ABOUT: Final = Path(__file__).with_name("sql").joinpath("about_how_many.sql").read_text()
_MAX_COUNTED: Final = 100_000
# One probe per row: a merge join would scan all earlier keys for each page.
_STREAMS: Final = f"""
SELECT {COLUMNS} FROM stored_events e {PROBED_KEY}
WHERE (e.originator_id, e.originator_version) > (%s, %s)
  AND e.notification_id <= %s AND e.kind = ANY(%s)
ORDER BY e.originator_id, e.originator_version LIMIT %s"""


# An event id is a UUIDv7 with the application's time, made a moment before the database sets the
# event's time. The time index is searched in a window as wide as the two clocks may differ.
_WINDOWS: Final = (timedelta(minutes=5), timedelta(days=1))
_UUID7: Final = 7
_PAGE_SECONDS: Final = 3.0
# No client waits for a single page of streams, so it may take long.
_LONG_SECONDS: Final = 30.0


class PostgresEventFeed:
    """Commit order is position order, so a page after a position misses no event."""

    def __init__(
        self, database: Database, mapper: RollbookMapper, breaks: tuple[LogBreak, ...] = ()
    ) -> None:
        self._database = database
        self._mapper = mapper
        self._breaks = breaks

    async def read(self, after: int, limit: int) -> FeedPage:
        rows = await _page(self._database, self._breaks, _PAGE, after, limit)
        events = await in_slices(rows, self._mapper.recorded_leniently)
        return FeedPage(events=events, reached=events[-1].position if events else after)

    async def search(self, after: int, wanted: EventFilter, limit: int) -> FeedPage:
        """See `SearchableFeed.search`; only events that match are decrypted and decoded."""
        raise_if_gone(after, self._breaks)
        statement, parameters = search_statement(after, wanted, limit)
        rows = await self._database.rows(
            statement, parameters, seconds=_PAGE_SECONDS, settings=IN_ORDER
        )
        # One row at least: the end of the examined stretch, beside an event if there is one.
        reached: int | None = rows[0][0]
        found = [row[1:] for row in rows if row[1] is not None]
        events = await in_slices(found, self._mapper.recorded_leniently)
        if len(events) == limit:
            reached = events[-1].position
        return FeedPage(events=events, reached=after if reached is None else reached)

    async def head(self) -> int:
        rows = await self._database.rows(_HEAD)
        return cast("int", rows[0][0])

    async def changed(self, after: int, limit: int) -> ChangedStreams:
        """See `ChangeFeed.changed`; no event is decrypted or decoded."""
        rows = await self._database.rows(_CHANGED, (after, limit))
        streams = {(kind, stream) for _, kind, stream in rows}
        return ChangedStreams(streams, rows[-1][0] if rows else after)

    async def at(self, position: int) -> Recorded[Event] | None:
        """The event at this position, None if there is none."""
        rows = await self._database.rows(_AT, (position,))
        return self._mapper.recorded_leniently(rows[0]) if rows else None

    async def event(self, event_id: UUID) -> Recorded[Event] | None:
        if event_id.version != _UUID7:
            return None
        made_at = datetime.fromtimestamp((event_id.int >> 80) / 1000, tz=UTC)
        for window in _WINDOWS:
            bounds = (event_id, made_at - window, made_at + window)
            if rows := await self._database.rows(_EVENT, bounds):
                return self._mapper.recorded_leniently(rows[0])
        # One of the two clocks was wrong.
        rows = await self._database.rows(_EVENT_NEAR, {"id": event_id})
        return self._mapper.recorded_leniently(rows[0]) if rows else None


class PostgresSealedFeed:
    """The feed for the relay: its events are `Sealed`, and it needs no key."""

    def __init__(self, database: Database, breaks: tuple[LogBreak, ...] = ()) -> None:
        self._database = database
        self._breaks = breaks

    async def read(self, after: int, limit: int) -> FeedPage:
        rows = await _page(self._database, self._breaks, _SEALED_PAGE, after, limit)
        events = await in_slices(rows, _sealed)
        return FeedPage(events=events, reached=events[-1].position if events else after)

    async def at(self, positions: Sequence[int]) -> Sequence[Recorded[Event]]:
        """See `SealedEvents.at`."""
        rows = await self._database.rows(_SEALED_AT, (list(positions),), seconds=_PAGE_SECONDS)
        return await in_slices(rows, _sealed)


class PostgresEventsByStream:
    """See `EventsByStream`. No database snapshot is open between pages: it would block vacuum."""

    def __init__(self, database: Database, mapper: RollbookMapper) -> None:
        self._database = database
        self._mapper = mapper

    async def about_how_many(self, up_to: int) -> int:
        given = {"up_to": up_to, "limit": _MAX_COUNTED}
        rows = await self._database.rows(_ABOUT, given, seconds=_PAGE_SECONDS)
        return cast("int", rows[0][0])

    async def read(
        self, kinds: Collection[str], after: Place, up_to: int, limit: int
    ) -> Sequence[Recorded[Event]]:
        parameters = (after.stream, after.version, up_to, list(kinds), limit)
        rows = await self._database.rows(_STREAMS, parameters, seconds=_LONG_SECONDS)
        return await in_slices(rows, self._mapper.recorded_leniently)


def _sealed(row: Row) -> Recorded[Event]:
    return sealed(StoredRow.of(row))


async def _page(
    database: Database, breaks: tuple[LogBreak, ...], statement: str, after: int, limit: int
) -> Sequence[Row]:
    raise_if_gone(after, breaks)
    return await database.rows(statement, (after, limit), seconds=_PAGE_SECONDS)
