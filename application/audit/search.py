"""Search of the log backwards: the newest events that match, in bounded steps."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.audit.items import AuditItem, StatusBefore, audit_item, needs_status
from application.log.event_log import EventLog
from domain.event import Event, Recorded
from domain.values import EmailAddress

# One request scans at most this many steps, also if few events match.
_STEPS: Final = 6
_BEYOND_THE_HEAD: Final = 2**62


class AuditQuery(Struct, frozen=True, kw_only=True):
    """A filter: fields are joined by AND, values within one by OR; an empty field matches all.

    `types` are full names, `kinds` whole kinds of stream; either matches. `since` is inclusive,
    `until` exclusive. The page has only positions below `before`.
    """

    actors: tuple[str, ...] = ()
    on_behalf_of: tuple[str, ...] = ()
    correlation_ids: tuple[str, ...] = ()
    user: UUID | None = None
    types: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50
    before: int | None = None


class PositionRange(Struct, frozen=True):
    """The positions between both, exclusive."""

    above: int
    below: int


class Scanned(Struct, frozen=True):
    """The events that matched, newest first; all positions above `scanned_to` were scanned."""

    events: Sequence[Recorded[Event]]
    scanned_to: int


class AuditPage(Struct, frozen=True):
    """`before` is for the next page, None on the last; a page with few items may not be the last."""

    items: Sequence[AuditItem]
    before: int | None


class AuditLog(Protocol):
    """The log, for audits."""

    async def scan(self, query: AuditQuery, positions: PositionRange, limit: int) -> Scanned:
        """The newest events in a range that match; scans a bounded number. Raises `Unavailable`."""
        ...

    async def last_before(self, moment: datetime) -> int:
        """The position of the last event recorded before a moment; 0 if there is none."""
        ...

    async def statuses(self, places: Sequence[tuple[UUID, int]]) -> Sequence[StatusBefore]:
        """The status of each user before a version of it."""
        ...


class EventLookup(Protocol):
    """Single events of the log. Each method raises `Unavailable`."""

    async def events_of(
        self, user_id: UUID, versions: Collection[int]
    ) -> Sequence[Recorded[Event]]:
        """The events of a user at these versions, in order."""
        ...

    async def events_at(self, positions: Sequence[int]) -> Sequence[Recorded[Event]]:
        """The events at these positions, newest first."""
        ...


class Audit:
    """Searches the log itself, not a view, so the result is complete and current."""

    def __init__(self, log: AuditLog, events: EventLog) -> None:
        self._log = log
        self._events = events

    async def user_at(self, email: EmailAddress) -> UUID | None:
        """The user that holds an address now."""
        return await self._events.holder_of("email", email.comparable)

    async def page(self, query: AuditQuery, *, opened: bool) -> AuditPage:
        """The newest items that match below `query.before`. Raises `Unavailable`."""
        if not (query.types or query.kinds):
            return AuditPage((), None)
        positions = await self._position_range(query)
        found: list[Recorded[Event]] = []
        for _ in range(_STEPS):
            if positions.below <= positions.above + 1:
                break
            # One event more than the limit shows whether there is another page.
            scanned = await self._log.scan(query, positions, query.limit + 1 - len(found))
            found += scanned.events
            positions = PositionRange(positions.above, scanned.scanned_to)
            if len(found) > query.limit:
                del found[query.limit :]
                positions = PositionRange(positions.above, found[-1].position)
                break
        ended = positions.below <= positions.above + 1
        return AuditPage(await self.items(found, opened=opened), None if ended else positions.below)

    async def matching(
        self, query: AuditQuery, head: int, limit: int
    ) -> AsyncGenerator[Sequence[int]]:
        """The positions of all matching events up to `head`, newest first, in bounded steps.

        A step has at most `limit` positions, and may have none. Raises `Unavailable`.
        """
        if not (query.types or query.kinds):
            return
        positions = await self._position_range(replace(query, before=head + 1))
        while positions.below > positions.above + 1:
            scanned = await self._log.scan(query, positions, limit)
            yield [each.position for each in scanned.events]
            positions = PositionRange(positions.above, scanned.scanned_to)

    async def items(self, events: Sequence[Recorded[Event]], *, opened: bool) -> list[AuditItem]:
        """The audit items of events, in the same order. Raises `Unavailable`."""
        unclear = [recorded for recorded in events if needs_status(recorded.event)]
        before: Mapping[int, StatusBefore] = {}
        if unclear:
            statuses = await self._log.statuses([(each.stream, each.version) for each in unclear])
            before = dict(zip((each.position for each in unclear), statuses, strict=True))
        return [audit_item(each, before.get(each.position), opened=opened) for each in events]

    async def _position_range(self, query: AuditQuery) -> PositionRange:
        below = _BEYOND_THE_HEAD if query.before is None else query.before
        if query.until is not None:
            below = min(below, await self._log.last_before(query.until) + 1)
        above = 0 if query.since is None else await self._log.last_before(query.since)
        return PositionRange(above, below)
