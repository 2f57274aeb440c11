"""Proves that each view of a generation saw every event: what differs was lost, doubled or wrong."""

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

# A page of the log is folded while everything else waits: some 10 ms.
_PAGE_EVENTS: Final = 500
_PAGE_STREAMS: Final = 500
_ALL: Final = 2**63 - 1


async def verify(
    views: StoredViews[V], histories: EventsByStream, report: Report, repairs: Repairs | None = None
) -> list[Verified]:
    """All slots of a generation against a fresh fold of the log, each up to its checkpoint.

    Views and log are read side by side, in the order of streams, a page at a time. A parked stream
    must be as it was before its first parked event, without the person if an erasure is among the
    parked. With `repairs` what differs is folded anew at once. Raises `Unavailable` and what
    `report` raises.
    """
    slots, up_to = views.slots, max(views.positions)
    total = await histories.count(up_to)
    findings = [
        Findings(slot, position) for slot, position in zip(slots, views.positions, strict=True)
    ]
    done = 0
    async with aclosing(_refolded(views, histories)) as refolded:
        async for refold, events in refolded:
            done += events
            if refold is None:
                await report(min(done, total), total)
                continue
            found = findings[refold.slot.partition]
            if refold.is_kept or await _was_erased_since(refold, histories):
                found.count(refold, differs=False)
            else:
                found.count(refold, differs=True)
                if repairs is not None:
                    found.settle(refold, await repair(refold, repairs, histories))
    for found, counters in zip(findings, await views.counters(), strict=True):
        found.counters = counters
        if repairs is not None and (drift := found.drift):
            await repairs.add(found.slot, {name: -n for name, n in drift.items()})
    await report(total, total)
    return [found.verified(was_repaired=repairs is not None) for found in findings]


async def _refolded(
    views: StoredViews[V], histories: EventsByStream
) -> AsyncGenerator[tuple[Refold[V] | None, int]]:
    """Each stream of the log or the views, folded; None and the number of events after a page."""
    slots, positions, kept = views.slots, views.positions, _Ahead(views)
    refold: Refold[V] | None = None

    def beginning(stream: StoredStream[V]) -> Refold[V]:
        return Refold(slots[partition_of(stream.stream, len(slots))], stream)

    pages = streams_in_order(histories, slots[0].projection.kinds, max(positions), _PAGE_EVENTS)
    async with aclosing(pages):
        async for events in pages:
            for recorded in events:
                if refold is None or refold.stream != recorded.stream:
                    if refold is not None:
                        yield refold, 0
                    while (stream := await kept.before(recorded.stream)) is not None:
                        yield beginning(stream), 0
                    refold = beginning(await kept.of(recorded.stream))
                if recorded.position <= positions[refold.slot.partition]:
                    refold.take(recorded)
            yield None, len(events)
    if refold is not None:
        yield refold, 0
    while (stream := await kept.before(None)) is not None:
        yield beginning(stream), 0


class _Ahead(Generic[V]):
    """What is kept, in the order of streams, a page ahead of the log."""

    def __init__(self, views: StoredViews[V]) -> None:
        self._views = views
        self._waiting = deque[StoredStream[V]]()
        self._after: UUID | None = None
        self._is_over = False

    async def before(self, stream: UUID | None) -> StoredStream[V] | None:
        """The next one before a stream, None where there is none; the next at all for None."""
        first = await self._first()
        if first is None or (stream is not None and first.stream >= stream):
            return None
        return self._waiting.popleft()

    async def of(self, stream: UUID) -> StoredStream[V]:
        """What is kept of a stream, which is nothing where it is not the next."""
        first = await self._first()
        if first is None or first.stream != stream:
            return StoredStream(stream=stream)
        return self._waiting.popleft()

    async def _first(self) -> StoredStream[V] | None:
        if not self._waiting and not self._is_over:
            self._waiting.extend(await self._views.page(self._after, _PAGE_STREAMS))
            self._is_over = not self._waiting
            if self._waiting:
                self._after = self._waiting[-1].stream
        return self._waiting[0] if self._waiting else None


async def _was_erased_since(refold: Refold[Any], histories: EventsByStream) -> bool:
    """Whether all that differs is a person whose erasure lies beyond the checkpoint."""
    if not refold.may_be_erased_since:
        return False
    place, kinds = Place(refold.stream, refold.reached), refold.slot.projection.kinds
    rest = rest_of_stream(histories, kinds, place, _ALL, _PAGE_EVENTS)
    async with aclosing(rest):
        async for events in rest:
            if any(map(erases, events)):
                return True
    return False
