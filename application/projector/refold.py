"""Takes back the skip of an event: the stream's views are folded again from the first event."""

import asyncio
from typing import Generic
from uuid import UUID

from application.log.by_stream import EventsByStream, Place, rest_of_stream
from application.projector.fold import NOTHING, counted, fold_events, unfinished_event
from application.projector.parked import NotSkipped, ParkedStreams, RemovedSkips, RetryResult
from application.projector.retry import PIECE_EVENTS, retry_in_slot
from application.projector.view_store import (
    Changes,
    Entry,
    ParkedEvent,
    Skipped,
    Slot,
    Unstorable,
)
from domain.event import Event, Recorded
from projections.projection import V


async def unskip(
    projection: str,
    stream: UUID,
    version: int,
    actor: str,
    removed_skips: RemovedSkips,
    parked_streams: ParkedStreams,
    events_by_stream: EventsByStream,
) -> RetryResult:
    """Skip an event no more, and fold its stream again in each generation.

    The result is that of the serving one; where the event still cannot be folded, the stream is
    parked at it. A repeat folds again. Raises `NotSkipped` and `Unavailable`.
    """
    if not await removed_skips.remove(projection, stream, version, actor):
        raise NotSkipped(NotSkipped.__doc__)
    results = [
        await refold(slot, stream, parked_streams, events_by_stream)
        for slot in await parked_streams.slots(projection)
    ]
    return results[0] if results else RetryResult(applied=0, parked=None)


async def refold(
    slot: Slot[V], stream: UUID, parked_streams: ParkedStreams, events_by_stream: EventsByStream
) -> RetryResult:
    """Fold a stream from its first event up to the checkpoint, and replace its view at once.

    Reads and folds without a lock, so nobody waits and no half-folded view is seen.
    """
    folding = _Folding(slot, stream, frozenset())
    while True:
        async with parked_streams.lock(slot, stream) as locked:
            position, last, skipped = locked.position, locked.last_version, locked.skipped
        if skipped != folding.skipped:
            folding = _Folding(slot, stream, skipped)
        await folding.read_on(events_by_stream, position)
        async with parked_streams.lock(slot, stream) as locked:
            if (locked.last_version, locked.skipped) != (last, skipped):
                # An event came meanwhile, which may be an erasure.
                continue
            try:
                await locked.commit(folding.changes(locked.entry))
            except Unstorable:
                break
            return RetryResult(applied=folding.entry.version, parked=folding.parked)
    # The store refuses the view: the retry finds the event, and parks the stream at it.
    async with parked_streams.lock(slot, stream) as locked:
        await locked.commit(folding.from_the_beginning(locked.entry))
    return await retry_in_slot(slot, stream, parked_streams, events_by_stream)


class _Folding(Generic[V]):
    """One stream, folded from its beginning as far as it was read."""

    def __init__(self, slot: Slot[V], stream: UUID, skipped: Skipped) -> None:
        self._projection = slot.projection
        self._stream = stream
        self._first: Recorded[Event] | None = None
        self._version = 0
        self.skipped = skipped
        self.entry: Entry[V] = NOTHING
        self.parked: ParkedEvent | None = None

    async def read_on(self, events_by_stream: EventsByStream, up_to: int) -> None:
        """Fold the events up to a position. Later events of a parked one may still erase."""
        place = Place(self._stream, self._version)
        pages = rest_of_stream(events_by_stream, self._projection.kinds, place, up_to, PIECE_EVENTS)
        async for events in pages:
            self._first = self._first or events[0]
            held_back = frozenset[UUID]() if self.parked is None else frozenset({self._stream})
            changed, left_out = fold_events(
                self._projection, {self._stream: self.entry}, held_back, events, self.skipped
            )
            self.entry = changed.get(self._stream, self.entry)
            self.parked = self.parked or next(iter(left_out), None)
            self._version = events[-1].version
            await asyncio.sleep(0)

    def changes(self, before: Entry[V] | None) -> Changes[V]:
        """What replaces the entry. Raises `Unstorable`."""
        return self._changes(before, self.entry, self.parked)

    def from_the_beginning(self, before: Entry[V] | None) -> Changes[V]:
        """No view, and the first event parked. Raises `Unstorable`."""
        assert self._first is not None, "only the view of a stream with events is refused"
        return self._changes(before, NOTHING, unfinished_event(self._first))

    def _changes(
        self, before: Entry[V] | None, after: Entry[V], parked: ParkedEvent | None
    ) -> Changes[V]:
        old = {} if before is None else {self._stream: before}
        is_new = before is None and after is NOTHING
        entries = {} if is_new else {self._stream: after}
        return Changes[V](
            entries=entries,
            counters=counted(self._projection, old, entries),
            parked=[] if parked is None else [parked],
        )
