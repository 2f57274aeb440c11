"""Repairs a stream that is not kept as the log has it: it is folded anew, up to the checkpoint."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol
from uuid import UUID

from application.log.by_stream import EventsByStream, Place, rest_of_stream
from application.projector.fold import NOTHING, counted, fold_events
from application.projector.parked import LockedStream
from application.projector.view_store import Entry, Slot, Unstorable
from application.verification.refold import Refold, contribution_told
from projections.projection import V

PARKED: Final = "parked: retry or skip it first"
UNFOLDABLE: Final = "cannot be folded: {}"
UNSTORABLE: Final = "cannot be stored: {}"

_PAGE_EVENTS: Final = 500


class Repairs(Protocol):
    """The right to repair a generation, which nobody else has meanwhile."""

    def hold(self, slot: Slot[V], stream: UUID) -> AbstractAsyncContextManager[LockedStream[V]]:
        """Hold a stream; without `replace` nothing happens. Raises `Unavailable`."""
        ...

    async def add(self, slot: Slot[Any], differences: Mapping[str, int]) -> None:
        """Add to a slot's counters, all or none. Raises `Unavailable`: then it may be done."""
        ...


OpenRepairs = Callable[[Sequence[Slot[Any]]], AbstractAsyncContextManager[Repairs]]
"""Takes the slots of one generation. Raises `Unavailable`, also while somebody else repairs it."""


async def repair(refold: Refold[V], repairs: Repairs, histories: EventsByStream) -> str | None:
    """Keep of a stream what the log makes of it; why it was left as it is, None where it was not.

    A row is removed where no event of its stream counts. The counters move with the view, so what
    is wrong with them beside it stays as wrong as it was. Raises `Unavailable`.
    """
    if refold.problem is not None:
        return UNFOLDABLE.format(refold.problem)
    async with repairs.hold(refold.slot, refold.stream) as held:
        if held.parked:
            return PARKED
        fresh = await _folded_on(refold, held, histories)
        if isinstance(fresh, str):
            return fresh
        projection, stream = refold.slot.projection, refold.stream
        try:
            counters = Counter(counted(projection, {}, {} if fresh is None else {stream: fresh}))
            counters.subtract(contribution_told(projection, held.entry))
            await held.replace(fresh, {name: n for name, n in counters.items() if n})
        except Unstorable as error:
            return UNSTORABLE.format(error.reason)
    return None


async def _folded_on(
    refold: Refold[V], held: LockedStream[V], histories: EventsByStream
) -> Entry[V] | str | None:
    """The stream up to the checkpoint that is held now, or why it cannot be folded so far."""
    projection, stream = refold.slot.projection, refold.stream
    skipped = {version for _, version in held.skipped}
    # What was decided since then counts from its event on.
    is_current = refold.kept.parked is None and skipped == refold.kept.skipped
    entry: Entry[V] = refold.entry if is_current else NOTHING
    place = Place(stream, entry.version)
    async for events in rest_of_stream(
        histories, projection.kinds, place, held.position, _PAGE_EVENTS
    ):
        changed, left_out = fold_events(
            projection, {stream: entry}, frozenset(), events, held.skipped
        )
        if left_out:
            return UNFOLDABLE.format(left_out[0].error)
        entry = changed[stream]
    return entry if entry.version else None
