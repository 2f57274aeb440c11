"""Repairs a stream that differs from the log: folds it again, up to the checkpoint."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol
from uuid import UUID

from application.log.by_stream import EventsByStream, Place, rest_of_stream
from application.projector.fold import NOTHING, counted, fold_events
from application.projector.parked import LockedStream
from application.projector.view_store import Entry, Slot, Unstorable
from application.verification.refold import Refold, contribution_or_nothing
from projections.projection import V

PARKED: Final = "parked: retry or skip it first"
UNFOLDABLE: Final = "cannot be folded: {}"
UNSTORABLE: Final = "cannot be stored: {}"

_PAGE_EVENTS: Final = 500


class Repairs(Protocol):
    """The exclusive right to repair a generation."""

    def lock(self, slot: Slot[V], stream: UUID) -> AbstractAsyncContextManager[LockedStream[V]]:
        """Lock a stream; without `replace` nothing changes. Raises `Unavailable`."""
        ...

    async def add(self, slot: Slot[Any], differences: Mapping[str, int]) -> None:
        """Add to the counters of a slot: all or none. Raises `Unavailable`: they may be added or not."""
        ...


OpenRepairs = Callable[[Sequence[Slot[Any]]], AbstractAsyncContextManager[Repairs]]
"""Takes the slots of one generation. Raises `Unavailable`, also while another process repairs it."""


async def repair(
    refold: Refold[V], repairs: Repairs, events_by_stream: EventsByStream
) -> str | None:
    """Store the expected entry of a stream. Returns None, or the reason why it was not repaired.

    The row is removed if its stream has no events up to the checkpoint. The counters change by the
    difference of the two views; other errors in them remain. Raises `Unavailable`.
    """
    if refold.problem is not None:
        return UNFOLDABLE.format(refold.problem)
    async with repairs.lock(refold.slot, refold.stream) as locked:
        if locked.parked:
            return PARKED
        expected = await _fold_to_checkpoint(refold, locked, events_by_stream)
        if isinstance(expected, str):
            return expected
        projection, stream = refold.slot.projection, refold.stream
        try:
            counters = Counter(
                counted(projection, {}, {} if expected is None else {stream: expected})
            )
            counters.subtract(contribution_or_nothing(projection, locked.entry))
            await locked.replace(expected, {name: n for name, n in counters.items() if n})
        except Unstorable as error:
            return UNSTORABLE.format(error.reason)
    return None


async def _fold_to_checkpoint(
    refold: Refold[V], locked: LockedStream[V], events_by_stream: EventsByStream
) -> Entry[V] | str | None:
    """The entry at the locked checkpoint (None: no events), or why it cannot be folded."""
    projection, stream = refold.slot.projection, refold.stream
    skipped = {version for _, version in locked.skipped}
    # After a retry or a skip in between, the stream is folded from its beginning.
    is_current = refold.stored.parked is None and skipped == refold.stored.skipped
    entry: Entry[V] = refold.entry if is_current else NOTHING
    place = Place(stream, entry.version)
    async for events in rest_of_stream(
        events_by_stream, projection.kinds, place, locked.position, _PAGE_EVENTS
    ):
        changed, left_out = fold_events(
            projection, {stream: entry}, frozenset(), events, locked.skipped
        )
        if left_out:
            return UNFOLDABLE.format(left_out[0].error)
        entry = changed[stream]
    return entry if entry.version else None
