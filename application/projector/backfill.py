"""Backfill of a new generation: reads the log stream by stream and folds each stream."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final, Generic
from uuid import UUID

import msgspec
from msgspec import Struct

from application.log.by_stream import (
    BEGINNING,
    EventsByStream,
    Place,
    rest_of_stream,
    streams_in_order,
)
from application.projector.fold import QUEUED, counted, fold_events, parked_event
from application.projector.generations import Batch, BuildProgress, Filling
from application.projector.view_store import Changes, Entry, ParkedEvent, Unstorable
from domain.event import Event, Recorded
from projections.projection import V

# Folding a page blocks the event loop for about 10 ms.
_PAGE_EVENTS: Final = 1000
# Streams stored in one transaction; a restarted process repeats at most this many.
_BATCH_STREAMS: Final = 4000

Report = Callable[[int, int | None], Awaitable[None]]
"""Called with the number of events done and the total; an exception stops the work."""


async def backfill(build: Filling[V], events_by_stream: EventsByStream, report: Report) -> None:
    """Store the views of all streams as they are at position `up_to` of the build.

    Resumes at the recorded progress. Parks the events that a projector would park.
    Raises `BuildLost`, `Unavailable` and what `report` raises.
    """
    progress = build.progress
    total = await events_by_stream.about_how_many(progress.up_to)
    folding = _Folding(progress)
    begin = BEGINNING if progress.after is None else Place(progress.after)
    kinds = progress.slot.projection.kinds
    pages = streams_in_order(events_by_stream, kinds, begin, progress.up_to, _PAGE_EVENTS)
    # Reading, folding and storing run concurrently, each one step ahead of the next.
    storing: asyncio.Task[None] | None = None
    try:
        async with aclosing(pages):
            async for events in pages:
                folding.add(events)
                if folding.is_full:
                    if storing is not None:
                        await storing
                    batch = folding.full_batch()
                    storing = asyncio.create_task(_store(build, events_by_stream, batch))
                await report(folding.events, max(total, folding.events))
        if storing is not None:
            await storing
        await _store(build, events_by_stream, folding.last_batch())
    finally:
        if storing is not None:
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)
    await report(folding.events, folding.events)


class _Batch(Struct, Generic[V], frozen=True, kw_only=True):
    """Some whole streams, the last of which is `after`; `events` counts from the beginning."""

    entries: dict[UUID, Entry[V]]
    parked: dict[UUID, list[ParkedEvent]]
    after: UUID | None
    events: int

    @property
    def streams(self) -> list[UUID]:
        """Sorted; not cached."""
        return sorted(self.entries.keys() | self.parked.keys())

    def only(self, streams: Sequence[UUID]) -> "_Batch[V]":
        """The part of the batch with these streams."""
        return _Batch(
            entries={stream: self.entries[stream] for stream in streams if stream in self.entries},
            parked={stream: self.parked[stream] for stream in streams if stream in self.parked},
            after=streams[-1],
            events=self.events,
        )


class _Folding(Generic[V]):
    """Folds pages into batches. The last stream may continue on the next page, so it stays here."""

    def __init__(self, progress: BuildProgress[V]) -> None:
        self._projection = progress.slot.projection
        self._skipped = progress.skipped
        self._entries: dict[UUID, Entry[V]] = {}
        self._parked: dict[UUID, list[ParkedEvent]] = {}
        self._last: UUID | None = None
        # The stream before the last, and the number of events read of the last.
        self._whole = progress.after
        self._open_events = 0
        self.events = progress.events

    @property
    def is_full(self) -> bool:
        return len(self._entries) + len(self._parked) > _BATCH_STREAMS

    def add(self, events: Sequence[Recorded[Event]]) -> None:
        changed, left_out = fold_events(
            self._projection, self._entries, self._parked.keys(), events, self._skipped
        )
        self._entries.update(changed)
        for parked in left_out:
            self._parked.setdefault(parked.stream, []).append(parked)
        self.events += len(events)
        last = events[-1].stream
        end = next((n for n, each in enumerate(reversed(events)) if each.stream != last), None)
        if end is not None:
            self._whole, self._open_events = events[-1 - end].stream, end
        elif last != self._last:
            self._whole, self._open_events = self._last or self._whole, len(events)
        else:
            self._open_events += len(events)
        self._last = last

    def full_batch(self) -> _Batch[V]:
        """All streams except the last."""
        events = self.events - self._open_events
        batch = _Batch(entries=self._entries, parked=self._parked, after=self._whole, events=events)
        last = self._last
        self._entries, self._parked = {}, {}
        if last is not None and last in batch.entries:
            self._entries[last] = batch.entries.pop(last)
        if last is not None and last in batch.parked:
            self._parked[last] = batch.parked.pop(last)
        return batch

    def last_batch(self) -> _Batch[V]:
        """All streams, at the end of the log."""
        return _Batch(
            entries=self._entries, parked=self._parked, after=self._last, events=self.events
        )


async def _store(build: Filling[V], events_by_stream: EventsByStream, batch: _Batch[V]) -> None:
    """Store a batch. Halves a batch that cannot be stored, down to one stream, and parks that."""
    if not batch.entries and not batch.parked:
        return
    try:
        await build.store(_counted(build.progress, batch))
    except Unstorable as error:
        streams = batch.streams
        if len(streams) > 1:
            middle = len(streams) // 2
            await _store(build, events_by_stream, batch.only(streams[:middle]))
            await _store(build, events_by_stream, batch.only(streams[middle:]))
        elif batch.entries:
            refused = await _parked_stream(
                build.progress, events_by_stream, streams[0], error.reason
            )
            parked = _Batch[V](entries={}, parked=refused, after=batch.after, events=batch.events)
            await build.store(_counted(build.progress, parked))
        else:
            raise


def _counted(progress: BuildProgress[V], batch: _Batch[V]) -> Batch[V]:
    assert batch.after is not None, "a batch has streams, and so a last one"
    changes = Changes[V](
        entries=batch.entries,
        counters=counted(progress.slot.projection, {}, batch.entries),
        parked=[event for events in batch.parked.values() for event in events],
    )
    return Batch(changes=changes, after=batch.after, events=batch.events)


async def _parked_stream(
    progress: BuildProgress[Any], events_by_stream: EventsByStream, stream: UUID, reason: str
) -> dict[UUID, list[ParkedEvent]]:
    """All events of a stream, as parked; a later retry stores as many of them as possible."""
    parked: list[ParkedEvent] = []
    kinds, place = progress.slot.projection.kinds, Place(stream, 0)
    async for events in rest_of_stream(
        events_by_stream, kinds, place, progress.up_to, _PAGE_EVENTS
    ):
        parked += [parked_event(recorded, QUEUED) for recorded in events]
    parked[0] = msgspec.structs.replace(parked[0], error=reason)
    return {stream: parked}
