"""Searching the log backwards: the newest events that match, in bounded steps."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.audit.items import AuditItem, StatusBefore, audit_item, needs_status
from domain.event import Event, Recorded
from domain.values import EmailAddress

# One request looks at no more than this many steps' events, however few of them match.
_STEPS: Final = 6
_BEYOND_THE_HEAD: Final = 2**62


class AuditQuery(Struct, frozen=True, kw_only=True):
    """Which events: filters are joined by AND, values within one by OR, nothing given is any.

    `types` are full names, `kinds` whole kinds of stream; either matches. `since` is inclusive,
    `until` exclusive. `before` is the position to go on below.
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


class Stretch(Struct, frozen=True):
    """A stretch of the log: the positions between both, without them."""

    above: int
    below: int


class Looked(Struct, frozen=True):
    """What matched, newest first; all above `down_to` was looked at."""

    events: Sequence[Recorded[Event]]
    down_to: int


class AuditPage(Struct, frozen=True):
    """`before` is where the next page goes on; a page may hold few items and yet not be the last."""

    items: Sequence[AuditItem]
    before: int | None


class AuditLog(Protocol):
    """The log as auditors ask it."""

    async def look(self, query: AuditQuery, stretch: Stretch, limit: int) -> Looked:
        """The newest events of a stretch that match, out of a bounded number. Raises `Unavailable`."""
        ...

    async def last_before(self, moment: datetime) -> int:
        """The position of the last event recorded before a moment, 0 where there is none."""
        ...

    async def statuses(self, places: Sequence[tuple[UUID, int]]) -> Sequence[StatusBefore]:
        """What each user's status was before a version of it."""
        ...


class Claims(Protocol):
    """The part of `EventLog` that tells who holds what."""

    async def holder_of(self, scope: str, value: str) -> UUID | None:
        """See `EventLog.holder_of`."""
        ...


class Audit:
    """Complete and current by construction: it reads the log itself, and no view of it."""

    def __init__(self, log: AuditLog, claims: Claims) -> None:
        self._log = log
        self._claims = claims

    async def user_at(self, email: EmailAddress) -> UUID | None:
        """Who holds an address now."""
        return await self._claims.holder_of("email", email.comparable)

    async def page(self, query: AuditQuery, *, opened: bool) -> AuditPage:
        """The newest items that match below `query.before`. Raises `Unavailable`."""
        if not (query.types or query.kinds):
            return AuditPage((), None)
        stretch = await self._stretch(query)
        found: list[Recorded[Event]] = []
        for _ in range(_STEPS):
            if stretch.below <= stretch.above + 1:
                break
            # One more than asked for tells whether another page is needed.
            looked = await self._log.look(query, stretch, query.limit + 1 - len(found))
            found += looked.events
            stretch = Stretch(stretch.above, looked.down_to)
            if len(found) > query.limit:
                del found[query.limit :]
                stretch = Stretch(stretch.above, found[-1].position)
                break
        ended = stretch.below <= stretch.above + 1
        return AuditPage(await self.items(found, opened=opened), None if ended else stretch.below)

    async def matching(
        self, query: AuditQuery, head: int, limit: int
    ) -> AsyncGenerator[Sequence[int]]:
        """The positions of all that matches up to `head`, newest first, in steps of bounded work.

        A step has `limit` positions at the most, and may have none. Raises `Unavailable`.
        """
        if not (query.types or query.kinds):
            return
        stretch = await self._stretch(replace(query, before=head + 1))
        while stretch.below > stretch.above + 1:
            looked = await self._log.look(query, stretch, limit)
            yield [each.position for each in looked.events]
            stretch = Stretch(stretch.above, looked.down_to)

    async def items(self, events: Sequence[Recorded[Event]], *, opened: bool) -> list[AuditItem]:
        """The items of events, in their order. Raises `Unavailable`."""
        unclear = [recorded for recorded in events if needs_status(recorded.event)]
        before: Mapping[int, StatusBefore] = {}
        if unclear:
            statuses = await self._log.statuses([(each.stream, each.version) for each in unclear])
            before = dict(zip((each.position for each in unclear), statuses, strict=True))
        return [audit_item(each, before.get(each.position), opened=opened) for each in events]

    async def _stretch(self, query: AuditQuery) -> Stretch:
        below = _BEYOND_THE_HEAD if query.before is None else query.before
        if query.until is not None:
            below = min(below, await self._log.last_before(query.until) + 1)
        above = 0 if query.since is None else await self._log.last_before(query.since)
        return Stretch(above, below)
