"""Mends a parked stream: folds on from where its view stands, up to the checkpoint and no further."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.log.by_stream import EventsByStream, Place
from application.projector.fold import NOTHING, fold_page, refused
from application.projector.view_store import Changes, Entry, ParkedEvent, Skipped, Slot, Unstorable
from domain.event import Event, Recorded
from projections.projection import V

_PAGE_EVENTS: Final = 500
_ALL: Final = 2**31


class NothingParked(Exception):
    """No event of this stream is parked."""


class AnotherEventFirst(Exception):
    """Another event of the stream is the first that is parked; `version` is its."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(f"{self.__doc__} ({version})")


class Mended(Struct, frozen=True, kw_only=True):
    """What came of it: how many events were folded, and the first that is parked still."""

    applied: int
    parked: ParkedEvent | None


class Decision(Struct, frozen=True, kw_only=True):
    """That an event is left out for good: who decided so, and why."""

    event: ParkedEvent
    reason: str
    actor: str


class LockedStream(Protocol[V]):
    """One stream's view, held still together with its checkpoint."""

    @property
    def position(self) -> int:
        """The checkpoint."""
        ...

    @property
    def entry(self) -> Entry[V] | None:
        """The view as it stands."""
        ...

    @property
    def parked(self) -> Sequence[ParkedEvent]:
        """The parked events, in order."""
        ...

    @property
    def skipped(self) -> Skipped:
        """Those that are left out for good."""
        ...

    async def commit(self, changes: Changes[V]) -> None:
        """Store the entry, and take its events out of those that are parked.

        Of those in `changes.parked` the error is kept. Raises `Unstorable` and `Unavailable`.
        """
        ...

    async def replace(self, entry: Entry[V] | None, counters: Mapping[str, int]) -> None:
        """Keep this entry in the place of what is there, or none, and add to the counters.

        Raises `Unstorable` and `Unavailable`.
        """
        ...

    async def skip(self, decision: Decision) -> None:
        """Record that an event is left out, in all generations. Raises `Unavailable`."""
        ...


class Mending(Protocol):
    """Where parked streams are mended."""

    async def parked_in(self, projection: str, stream: UUID) -> Sequence[Slot[Any]]:
        """The slots in which the stream is parked, that of the serving generation first.

        Raises `Unavailable`.
        """
        ...

    async def streams(self, slot: Slot[Any]) -> Sequence[UUID]:
        """The parked streams of a slot. Raises `Unavailable`."""
        ...

    def hold(self, slot: Slot[V], stream: UUID) -> AbstractAsyncContextManager[LockedStream[V]]:
        """Hold a stream; without `commit` or `skip` nothing happens. Raises `Unavailable`."""
        ...


async def retry(
    projection: str, stream: UUID, mending: Mending, histories: EventsByStream
) -> Mended:
    """Fold on, in each generation; what came of it where it serves.

    Raises `NothingParked` and `Unavailable`.
    """
    slots = await mending.parked_in(projection, stream)
    if not slots:
        raise NothingParked(NothingParked.__doc__)
    mended = [await mend(slot, stream, mending, histories) for slot in slots]
    return mended[0]


async def skip(
    projection: str,
    stream: UUID,
    version: int | None,
    reason: str,
    actor: str,
    mending: Mending,
    histories: EventsByStream,
) -> Mended:
    """Leave the first parked event out for good, and fold on after it.

    `version` says which event was meant. Raises `NothingParked`, `AnotherEventFirst` and
    `Unavailable`.
    """
    slots = await mending.parked_in(projection, stream)
    if not slots:
        raise NothingParked(NothingParked.__doc__)
    async with mending.hold(slots[0], stream) as held:
        if not held.parked:
            raise NothingParked(NothingParked.__doc__)
        first = held.parked[0]
        if version is not None and version != first.version:
            raise AnotherEventFirst(first.version)
        await held.skip(Decision(event=first, reason=reason, actor=actor))
    return await retry(projection, stream, mending, histories)


async def mend(slot: Slot[V], stream: UUID, mending: Mending, histories: EventsByStream) -> Mended:
    """Fold on in one slot. What cannot be stored is halved down to the event, which stays parked."""
    applied, most, reason = 0, _ALL, None
    while True:
        async with mending.hold(slot, stream) as held:
            if not held.parked:
                return Mended(applied=applied, parked=None)
            entry = held.entry or NOTHING
            events = await _rest(slot, stream, histories, entry.version, held.position, most)
            try:
                changes = _folded(slot, entry, events, held.skipped, reason)
                await held.commit(changes)
            except Unstorable as error:
                if reason is not None or not events:
                    raise
                reason = error.reason if len(events) == 1 else None
                most = max(1, len(events) // 2)
                continue
            after = changes.entries.get(stream, entry)
            applied += after.version - entry.version
            if changes.parked or len(events) < most:
                return Mended(applied=applied, parked=next(iter(changes.parked), None))


def _folded(
    slot: Slot[V],
    entry: Entry[V],
    events: Sequence[Recorded[Event]],
    skipped: Skipped,
    reason: str | None,
) -> Changes[V]:
    """What the events make of the entry; with a reason, the one event is refused for it."""
    if reason is not None:
        known = None if entry is NOTHING else entry
        return refused(slot.projection, known, events[0], reason)
    stream = {recorded.stream for recorded in events}
    entries = dict.fromkeys(stream, entry)
    return fold_page(slot.projection, entries, frozenset(), events, skipped)


async def _rest(
    slot: Slot[Any], stream: UUID, histories: EventsByStream, version: int, up_to: int, most: int
) -> Sequence[Recorded[Event]]:
    """The stream's events after a version, up to a position, `most` of them at most."""
    events: list[Recorded[Event]] = []
    while True:
        limit = min(most - len(events), _PAGE_EVENTS)
        kinds = slot.projection.kinds
        page = await histories.read(kinds, Place(stream, version), up_to, limit)
        mine = [recorded for recorded in page if recorded.stream == stream]
        events += mine
        if len(mine) < limit or len(events) == most:
            return events
        version = mine[-1].version
