"""Retry and skip of parked streams: fold on from the view, up to the checkpoint of its slot."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.log.by_stream import EventsByStream, Place, rest_of_stream
from application.projector.fold import NOTHING, fold_page, park_unstorable
from application.projector.view_store import Changes, Entry, ParkedEvent, Skipped, Slot, Unstorable
from domain.event import Event, Recorded
from projections.projection import V

_PAGE_EVENTS: Final = 500
# The checkpoint is locked for at most so many events at a time, however many are parked.
_PIECE_EVENTS: Final = 1000


class NothingParked(Exception):
    """No event of this stream is parked."""


class AnotherEventFirst(Exception):
    """Another event of the stream is the first that is parked; `version` is its."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(f"{self.__doc__} ({version})")


class RetryResult(Struct, frozen=True, kw_only=True):
    """How many events were folded, and the first event that is still parked."""

    applied: int
    parked: ParkedEvent | None


class Decision(Struct, frozen=True, kw_only=True):
    """The decision to skip an event permanently: the actor and the reason."""

    event: ParkedEvent
    reason: str
    actor: str


class LockedStream(Protocol[V]):
    """The view of one stream, locked together with the checkpoint of its slot."""

    @property
    def position(self) -> int:
        """The checkpoint."""
        ...

    @property
    def entry(self) -> Entry[V] | None:
        """The stored view."""
        ...

    @property
    def parked(self) -> Sequence[ParkedEvent]:
        """The parked events, in order."""
        ...

    @property
    def skipped(self) -> Skipped:
        """The events that are skipped permanently."""
        ...

    async def commit(self, changes: Changes[V]) -> None:
        """Store the entry, and remove its events from the parked ones.

        The events in `changes.parked` stay parked with their new error. Raises `Unstorable` and
        `Unavailable`.
        """
        ...

    async def skip(self, decision: Decision) -> None:
        """Record that an event is skipped in all generations. Raises `Unavailable`."""
        ...


class ParkedStreams(Protocol):
    """The store of parked streams."""

    async def parked_in(self, projection: str, stream: UUID) -> Sequence[Slot[Any]]:
        """The slots in which the stream is parked, the serving generation first.

        Raises `Unavailable`.
        """
        ...

    async def streams(self, slot: Slot[Any]) -> Sequence[UUID]:
        """The parked streams of a slot. Raises `Unavailable`."""
        ...

    async def unreadable(self, slot: Slot[Any], limit: int, *, at_once: bool) -> Sequence[UUID]:
        """Streams whose first parked event could not be read, and whose pause before the next
        retry is over; with `at_once`, whether or not it is. Raises `Unavailable`.
        """
        ...

    async def postpone(self, slot: Slot[Any], stream: UUID) -> None:
        """Begin a longer pause before the next retry of a stream. Raises `Unavailable`."""
        ...

    def lock(self, slot: Slot[V], stream: UUID) -> AbstractAsyncContextManager[LockedStream[V]]:
        """Lock a stream; without `commit` or `skip` nothing changes. Raises `Unavailable`."""
        ...


async def retry(
    projection: str, stream: UUID, parked_streams: ParkedStreams, events_by_stream: EventsByStream
) -> RetryResult:
    """Retry a stream in each generation; the result is that of the serving one.

    Raises `NothingParked` and `Unavailable`.
    """
    slots = await parked_streams.parked_in(projection, stream)
    if not slots:
        raise NothingParked(NothingParked.__doc__)
    results = [
        await retry_in_slot(slot, stream, parked_streams, events_by_stream) for slot in slots
    ]
    return results[0]


async def skip(
    projection: str,
    stream: UUID,
    version: int | None,
    reason: str,
    actor: str,
    parked_streams: ParkedStreams,
    events_by_stream: EventsByStream,
) -> RetryResult:
    """Skip the first parked event permanently, and retry the events after it.

    `version` names the event that the caller means. Raises `NothingParked`, `AnotherEventFirst` and
    `Unavailable`.
    """
    slots = await parked_streams.parked_in(projection, stream)
    if not slots:
        raise NothingParked(NothingParked.__doc__)
    async with parked_streams.lock(slots[0], stream) as locked:
        if not locked.parked:
            raise NothingParked(NothingParked.__doc__)
        first = locked.parked[0]
        if version is not None and version != first.version:
            raise AnotherEventFirst(first.version)
        await locked.skip(Decision(event=first, reason=reason, actor=actor))
    return await retry(projection, stream, parked_streams, events_by_stream)


async def retry_in_slot(
    slot: Slot[V], stream: UUID, parked_streams: ParkedStreams, events_by_stream: EventsByStream
) -> RetryResult:
    """Retry in one slot. Halves a page that cannot be stored, down to the event, which stays parked."""
    # Often the first event stays parked: so it is tried alone.
    applied, limit, reason = 0, 1, None
    while True:
        async with parked_streams.lock(slot, stream) as locked:
            if not locked.parked:
                return RetryResult(applied=applied, parked=None)
            entry = locked.entry or NOTHING
            events = await _rest(
                slot, stream, events_by_stream, entry.version, locked.position, limit
            )
            try:
                changes = _folded(slot, entry, events, locked.skipped, reason)
                await locked.commit(changes)
            except Unstorable as error:
                if reason is not None or not events:
                    raise
                reason = error.reason if len(events) == 1 else None
                limit = max(1, len(events) // 2)
                continue
            after = changes.entries.get(stream, entry)
            applied += after.version - entry.version
            if changes.parked or len(events) < limit:
                return RetryResult(applied=applied, parked=next(iter(changes.parked), None))
            limit = _PIECE_EVENTS if limit == 1 else limit


def _folded(
    slot: Slot[V],
    entry: Entry[V],
    events: Sequence[Recorded[Event]],
    skipped: Skipped,
    reason: str | None,
) -> Changes[V]:
    """The changes by the events; with a reason, the one event is parked for it."""
    if reason is not None:
        known = None if entry is NOTHING else entry
        return park_unstorable(slot.projection, known, events[0], reason)
    stream = {recorded.stream for recorded in events}
    entries = dict.fromkeys(stream, entry)
    return fold_page(slot.projection, entries, frozenset(), events, skipped)


async def _rest(
    slot: Slot[Any],
    stream: UUID,
    events_by_stream: EventsByStream,
    version: int,
    up_to: int,
    limit: int,
) -> Sequence[Recorded[Event]]:
    """Up to `limit` events of the stream after a version, none above position `up_to`."""
    events: list[Recorded[Event]] = []
    kinds, place = slot.projection.kinds, Place(stream, version)
    page_limit = min(limit, _PAGE_EVENTS)
    async for page in rest_of_stream(events_by_stream, kinds, place, up_to, page_limit):
        events += page
        if len(events) >= limit:
            break
    return events[:limit]
