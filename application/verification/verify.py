"""Verifies that each view of a generation shows every event once, by a fresh fold of the log."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Generic
from uuid import UUID

from application.log.by_stream import EventsByStream, Place, rest_of_stream, streams_in_order
from application.projector.backfill import Report
from application.projector.erased_entries import erases
from application.projector.view_store import partition_of
from application.verification.refold import Refold
from application.verification.repair import Repairs, repair
from application.verification.report import Findings, Verified
from application.verification.stored_views import StoredStream, StoredViews
from projections.projection import V

# Folding a page blocks the event loop for about 10 ms.
_PAGE_EVENTS: Final = 500
_PAGE_STREAMS: Final = 500
_ALL: Final = 2**63 - 1


async def verify(
    views: StoredViews[V],
    events_by_stream: EventsByStream,
    report: Report,
    repairs: Repairs | None = None,
) -> list[Verified]:
    """Compare all slots of a generation with a fresh fold of the log, each up to its checkpoint.

    Views and log are read side by side, in the order of streams, a page at a time. A parked stream
    must be as it was before its first parked event; without the person if a parked event is an
    erasure. With `repairs`, a stream that differs is repaired at once. Raises `Unavailable` and
    what `report` raises.
    """
    slots, up_to = views.slots, max(views.positions)
    total = await events_by_stream.count(up_to)
    findings = [
        Findings(slot, position) for slot, position in zip(slots, views.positions, strict=True)
    ]
    done = 0
    async with aclosing(_refolded(views, events_by_stream)) as refolded:
        async for refold, events in refolded:
            done += events
            if refold is None:
                await report(min(done, total), total)
                continue
            found = findings[refold.slot.partition]
            if refold.matches or await _was_erased_since(refold, events_by_stream):
                found.count(refold, differs=False)
            else:
                found.count(refold, differs=True)
                if repairs is not None:
                    found.record_repair(refold, await repair(refold, repairs, events_by_stream))
    for found, counters in zip(findings, await views.counters(), strict=True):
        found.counters = counters
        if repairs is not None and (drift := found.drift):
            await repairs.add(found.slot, {name: -n for name, n in drift.items()})
    await report(total, total)
    return [found.verified(was_repaired=repairs is not None) for found in findings]


async def _refolded(
    views: StoredViews[V], events_by_stream: EventsByStream
) -> AsyncGenerator[tuple[Refold[V] | None, int]]:
    """Each stream of the log or the views, folded; after each page None and its event count."""
    slots, positions, stored = views.slots, views.positions, _StoredStreams(views)
    refold: Refold[V] | None = None

    def beginning(stream: StoredStream[V]) -> Refold[V]:
        return Refold(slots[partition_of(stream.stream, len(slots))], stream)

    pages = streams_in_order(
        events_by_stream, slots[0].projection.kinds, max(positions), _PAGE_EVENTS
    )
    async with aclosing(pages):
        async for events in pages:
            for recorded in events:
                if refold is None or refold.stream != recorded.stream:
                    if refold is not None:
                        yield refold, 0
                    while (stream := await stored.before(recorded.stream)) is not None:
                        yield beginning(stream), 0
                    refold = beginning(await stored.of(recorded.stream))
                if recorded.position <= positions[refold.slot.partition]:
                    refold.take(recorded)
            yield None, len(events)
    if refold is not None:
        yield refold, 0
    while (stream := await stored.before(None)) is not None:
        yield beginning(stream), 0


class _StoredStreams(Generic[V]):
    """The stored streams in order, read a page ahead."""

    def __init__(self, views: StoredViews[V]) -> None:
        self._views = views
        self._waiting = deque[StoredStream[V]]()
        self._after: UUID | None = None
        self._is_at_end = False

    async def before(self, stream: UUID | None) -> StoredStream[V] | None:
        """The next stored stream if it is before `stream` (None: any); None if there is none."""
        first = await self._first()
        if first is None or (stream is not None and first.stream >= stream):
            return None
        return self._waiting.popleft()

    async def of(self, stream: UUID) -> StoredStream[V]:
        """The stored stream with this id; an empty one if it is not stored."""
        first = await self._first()
        if first is None or first.stream != stream:
            return StoredStream(stream=stream)
        return self._waiting.popleft()

    async def _first(self) -> StoredStream[V] | None:
        if not self._waiting and not self._is_at_end:
            self._waiting.extend(await self._views.page(self._after, _PAGE_STREAMS))
            self._is_at_end = not self._waiting
            if self._waiting:
                self._after = self._waiting[-1].stream
        return self._waiting[0] if self._waiting else None


async def _was_erased_since(refold: Refold[Any], events_by_stream: EventsByStream) -> bool:
    """Whether the only difference is a person who was erased after the checkpoint."""
    if not refold.may_be_erased_since:
        return False
    place, kinds = Place(refold.stream, refold.reached), refold.slot.projection.kinds
    rest = rest_of_stream(events_by_stream, kinds, place, _ALL, _PAGE_EVENTS)
    async with aclosing(rest):
        async for events in rest:
            if any(map(erases, events)):
                return True
    return False
