"""The log for audit queries: each query uses the index that leaves the fewest events to check."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Final, cast
from uuid import UUID

from msgspec.structs import replace
from psycopg.types.numeric import Int8

from application.audit.items import StatusBefore
from application.audit.search import AuditQuery, PositionRange, Scanned
from application.turns import in_slices
from domain.event import Event, Recorded
from domain.user.events import STATUS_CHANGES, UserDeleted, UserErased, UserRegistered, UserRestored
from domain.user.state import status_changes
from infrastructure.database import Database
from infrastructure.event_store.mapper import RollbookMapper
from infrastructure.event_store.search_statements import IN_ORDER, last_version
from infrastructure.event_store.stored_rows import COLUMNS, PROBED_KEY, WITH_KEY, StoredRow

_SQL: Final = Path(__file__).with_name("sql")
_LAST_BEFORE: Final = _SQL.joinpath("last_before.sql").read_text()
_STATUSES: Final = _SQL.joinpath("statuses.sql").read_text()

_STATUS_CHANGES: Final = {event.topic: event for event in STATUS_CHANGES}
_STATUS_TOPICS: Final = [UserRegistered.topic, *_STATUS_CHANGES]
# Of the others, the last one gives the status that a restored user has again.
_ENDS: Final = [event.topic for event in (UserDeleted, UserRestored, UserErased)]

# The number of events that one step reads if a filter excludes some of them.
_STEP_SIZE: Final = 2000
_SUMMARY_COLUMNS: Final = 2

_STRETCH: Final = "e.notification_id < %(below)s AND e.notification_id > %(above)s"
_BY_POSITION: Final = f"""
    SELECT e.* FROM stored_events e
    WHERE {_STRETCH}
    ORDER BY e.notification_id DESC LIMIT %(look)s"""
_BY_STREAM: Final = """
    SELECT e.* FROM stored_events e
    WHERE e.originator_id = %(user)s
      AND e.originator_version > (SELECT max(low) FROM above_range)
      AND e.originator_version <= (SELECT max(low) FROM in_range)
    ORDER BY e.originator_version DESC LIMIT %(look)s"""
_RANGE_OF_STREAM: Final = (
    last_version("above_range", "%(above)s"),
    last_version("in_range", "(%(below)s - 1)"),
)


def _by(column: str, values: str) -> str:
    """Uses the index on (column, position): one scan per value, merged.

    Compares and orders by both columns together, which only this index supports. The planner could
    otherwise scan the whole index of positions for a rare value.
    """
    return f"""
    SELECT walked.* FROM unnest(%({values})s::text[]) AS one(value)
    CROSS JOIN LATERAL (
        SELECT e.* FROM stored_events e
        WHERE (e.{column}, e.notification_id) < (one.value, %(below)s)
          AND (e.{column}, e.notification_id) > (one.value, %(above)s)
        ORDER BY e.{column} DESC, e.notification_id DESC LIMIT %(look)s
    ) AS walked
    ORDER BY walked.notification_id DESC LIMIT %(look)s"""


_BY_CORRELATION: Final = _by("correlation_id", "correlation_ids")
_BY_ACTOR: Final = _by("actor", "actors")

_CONDITIONS: Final = {
    "actors": "e.actor = ANY (%(actors)s)",
    "on_behalf_of": "e.on_behalf_of = ANY (%(on_behalf_of)s)",
    "correlation_ids": "e.correlation_id = ANY (%(correlation_ids)s)",
    "user": "e.originator_id = %(user)s",
}
_OF_USER: Final = f"""
SELECT {COLUMNS} FROM {WITH_KEY}
WHERE e.originator_id = %s AND e.originator_version = ANY (%s) ORDER BY e.originator_version"""
_AT: Final = f"""
SELECT {COLUMNS} FROM {WITH_KEY}
WHERE e.notification_id = ANY (%(positions)s) ORDER BY e.notification_id DESC"""
_TYPES: Final = "(e.topic = ANY (%(types)s) OR e.kind = ANY (%(kinds)s))"


class PostgresAuditLog:
    """See `AuditLog` and `EventLookup`."""

    def __init__(self, database: Database, mapper: RollbookMapper) -> None:
        self._database = database
        self._mapper = mapper

    async def scan(self, query: AuditQuery, positions: PositionRange, limit: int) -> Scanned:
        step = step_size(query, limit)
        rows = await self._database.rows(
            search_sql(query),
            {
                "user": query.user,
                "actors": list(query.actors),
                "on_behalf_of": list(query.on_behalf_of),
                "correlation_ids": list(query.correlation_ids),
                "types": list(query.types),
                "kinds": list(query.kinds),
                "above": Int8(positions.above),
                "below": Int8(positions.below),
                "look": Int8(step),
                "limit": Int8(limit),
            },
            settings=IN_ORDER,
        )
        scanned, lowest = rows[0][:_SUMMARY_COLUMNS]
        found = [row[_SUMMARY_COLUMNS:] for row in rows if row[_SUMMARY_COLUMNS] is not None]
        events = await in_slices(found, self._mapper.recorded_leniently)
        if len(events) == limit:
            return Scanned(events, events[-1].position)
        return Scanned(events, positions.above if scanned < step else cast("int", lowest))

    async def last_before(self, moment: datetime) -> int:
        rows = await self._database.rows(_LAST_BEFORE, {"moment": moment})
        return cast("int", rows[0][0])

    async def statuses(self, places: Sequence[tuple[UUID, int]]) -> Sequence[StatusBefore]:
        versions: dict[UUID, list[int]] = {}
        for stream, version in places:
            versions.setdefault(stream, []).append(version)
        rows = await self._database.rows(
            _STATUSES,
            {
                "streams": list(versions),
                "first": [Int8(min(each)) for each in versions.values()],
                "last": [Int8(max(each)) for each in versions.values()],
                "ends": _ENDS,
                "changes": _STATUS_TOPICS,
            },
            settings=IN_ORDER,
        )
        events: dict[UUID, list[tuple[int, str]]] = {}
        for stream, version, topic in rows:
            events.setdefault(stream, []).append((version, topic))
        return [_status(events.get(stream, ()), version) for stream, version in places]

    async def events_of(
        self, user_id: UUID, versions: Collection[int]
    ) -> Sequence[Recorded[Event]]:
        rows = await self._database.rows(_OF_USER, (user_id, [Int8(each) for each in versions]))
        with self._mapper.refusing():
            return [self._mapper.recorded(StoredRow.of(row)) for row in rows]

    async def events_at(self, positions: Sequence[int]) -> Sequence[Recorded[Event]]:
        rows = await self._database.rows(_AT, {"positions": list(positions)})
        return await in_slices(rows, self._mapper.recorded_leniently)


def step_size(query: AuditQuery, limit: int) -> int:
    """How many events one step reads: only `limit` if no filter excludes any of them."""
    narrowed = sum(bool(getattr(query, name)) for name in _CONDITIONS)
    if not query.types and query.kinds and narrowed <= 1 and not query.on_behalf_of:
        return limit
    return max(limit, _STEP_SIZE // max(1, len(query.actors), len(query.correlation_ids)))


def search_sql(query: AuditQuery) -> str:
    """The statement for the given filters: it depends on their names, not on their values."""
    conditions = [_TYPES, *(sql for name, sql in _CONDITIONS.items() if getattr(query, name))]
    ranges = () if query.user is None else _RANGE_OF_STREAM
    parts = (*ranges, f"looked AS MATERIALIZED ({_path(query)})")
    return f"""
WITH RECURSIVE {", ".join(parts)}
SELECT whole.looked, whole.lowest, matching.*
FROM (SELECT count(*) AS looked, min(notification_id) AS lowest FROM looked) AS whole
LEFT JOIN LATERAL (
    SELECT {COLUMNS} FROM (
        SELECT * FROM looked e WHERE {" AND ".join(conditions)}
        ORDER BY e.notification_id DESC LIMIT %(limit)s
    ) AS e {PROBED_KEY}
) AS matching ON true
ORDER BY matching.notification_id DESC"""


def _path(query: AuditQuery) -> str:
    """The most selective access path: one user's events, one request's, one actor's, or all."""
    if query.user is not None:
        return _BY_STREAM
    if query.correlation_ids:
        return _BY_CORRELATION
    return _BY_ACTOR if query.actors else _BY_POSITION


def _status(events: Sequence[tuple[int, str]], version: int) -> StatusBefore:
    """The status after the events below a version."""
    before = StatusBefore()
    for _, topic in takewhile(lambda each: each[0] < version, events):
        event = _STATUS_CHANGES.get(topic)
        if event is not None:
            before = replace(before, **status_changes(before, event()))
    return before
