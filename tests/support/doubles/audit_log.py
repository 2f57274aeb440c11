"""The in-memory audit log for tests; it passes the same contract suite as the real one."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from application.audit.items import StatusBefore
from application.audit.search import AuditQuery, PositionRange, Scanned
from application.log.event_log import EventFeed
from domain.event import Event, Recorded
from domain.user.events import STATUS_CHANGES
from domain.user.state import status_changes

_ALL = 2**62


class InMemoryAuditLog:
    """See `AuditLog` and `EventLookup`: every query scans all events."""

    def __init__(self, feed: EventFeed) -> None:
        self._feed = feed

    async def scan(self, query: AuditQuery, positions: PositionRange, limit: int) -> Scanned:
        """See `AuditLog.scan`."""
        found = [
            recorded
            for recorded in await self._newest_first()
            if positions.above < recorded.position < positions.below and matches(query, recorded)
        ]
        ended = len(found) < limit
        return Scanned(found[:limit], positions.above if ended else found[limit - 1].position)

    async def last_before(self, moment: datetime) -> int:
        """See `AuditLog.last_before`."""
        events = await self._newest_first()
        return next((each.position for each in events if each.recorded_at < moment), 0)

    async def statuses(self, places: Sequence[tuple[UUID, int]]) -> Sequence[StatusBefore]:
        """See `AuditLog.statuses`."""
        events = await self._newest_first()
        return [_status(events, stream, version) for stream, version in places]

    async def events_of(
        self, user_id: UUID, versions: Collection[int]
    ) -> Sequence[Recorded[Event]]:
        """See `EventLookup.events_of`."""
        events = reversed(await self._newest_first())
        return [each for each in events if each.stream == user_id and each.version in versions]

    async def events_at(self, positions: Sequence[int]) -> Sequence[Recorded[Event]]:
        """See `EventLookup.events_at`."""
        return [each for each in await self._newest_first() if each.position in positions]

    async def _newest_first(self) -> list[Recorded[Event]]:
        return list(reversed((await self._feed.read(0, _ALL)).events))


def matches(query: AuditQuery, recorded: Recorded[Event]) -> bool:
    """Whether the filters of a query select an event; its position is not checked."""
    return all(
        (
            recorded.event.topic in query.types or recorded.kind in query.kinds,
            not query.actors or recorded.actor in query.actors,
            not query.on_behalf_of or recorded.on_behalf_of in query.on_behalf_of,
            not query.correlation_ids or recorded.correlation_id in query.correlation_ids,
            query.user is None or recorded.stream == query.user,
        )
    )


def _status(events: Sequence[Recorded[Event]], stream: UUID, version: int) -> StatusBefore:
    before = StatusBefore()
    for each in reversed(events):
        is_earlier = each.stream == stream and each.version < version
        if is_earlier and isinstance(each.event, STATUS_CHANGES):
            before = replace(before, **status_changes(before, each.event))
    return before
