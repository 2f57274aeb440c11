"""A replay of the log in memory, to compare all that is stored of a slot with it, for tests."""

from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Generic
from uuid import UUID

from msgspec import Struct

from application.log.by_stream import BEGINNING, EventsByStream, streams_in_order
from application.projector.erased_entries import erases, without_person
from application.projector.fold import NOTHING, contribution_of, entry_after
from application.projector.view_store import Entry, Slot
from domain.event import Event, Recorded
from projections.projection import V

_ALL = 2**63 - 1
_PAGE_EVENTS = 500


class Snapshot(Struct, Generic[V], frozen=True, kw_only=True):
    """All data of a slot at one moment; `parked` has the first parked version of each stream.

    `odd`: streams whose stored keys, words or partition are not those of their view.
    """

    position: int
    entries: Mapping[UUID, Entry[V]]
    counters: Mapping[str, int]
    parked: Mapping[UUID, int]
    skipped: AbstractSet[tuple[UUID, int]] = frozenset()
    odd: AbstractSet[UUID] = frozenset()


ReadSlot = Callable[[Slot[Any]], Coroutine[Any, Any, Snapshot[Any]]]


class Differences(Struct, frozen=True, kw_only=True):
    """The streams and the names of the counters that differ from the log."""

    streams: frozenset[UUID]
    counters: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.streams or self.counters)


async def replay_differences(
    slot: Slot[V], stored: Snapshot[V], log: EventsByStream
) -> Differences:
    """Compare what is stored with a fold of each stream up to the checkpoint.

    A parked stream must be as it was before its first parked event; without the person if a parked
    event is an erasure. A person who was erased after the checkpoint may still be shown.
    """
    streams = defaultdict[UUID, list[Recorded[Event]]](list)
    kinds = slot.projection.kinds
    async for events in streams_in_order(log, kinds, BEGINNING, _ALL, _PAGE_EVENTS):
        for recorded in events:
            streams[recorded.stream].append(recorded)
    differing, sums = set(stored.odd), Counter[str]()
    for stream in streams.keys() | stored.entries.keys():
        found, expected = stored.entries.get(stream), _folded(slot, stored, streams[stream])
        if not _matches(slot, stored, found, expected, streams[stream]):
            differing.add(stream)
            found = expected if isinstance(expected, Entry) else None
        if slot.projection.contribution is not None:
            sums.update(contribution_of(slot.projection, found))
    sums.subtract(stored.counters)
    return Differences(
        streams=frozenset(differing),
        counters=frozenset(name for name, difference in sums.items() if difference),
    )


def _folded(
    slot: Slot[V], stored: Snapshot[V], events: list[Recorded[Event]]
) -> Entry[V] | str | None:
    """The entry at the checkpoint; None without events, the reason if it cannot be folded."""
    entry: Entry[V] = NOTHING
    for recorded in events:
        if recorded.position > stored.position:
            break
        if recorded.version >= stored.parked.get(recorded.stream, _ALL):
            if erases(recorded):
                entry = without_person(slot.projection, entry, recorded)
            continue
        after = entry_after(slot.projection, entry, recorded, stored.skipped)
        if isinstance(after, str):
            return after
        entry = after
    return entry if entry.version else None


def _matches(
    slot: Slot[V],
    stored: Snapshot[V],
    found: Entry[V] | None,
    expected: Entry[V] | str | None,
    events: list[Recorded[Event]],
) -> bool:
    if found is None or not isinstance(expected, Entry):
        return found is expected
    if (found.version, found.chain) != (expected.version, expected.chain):
        return False
    erasures = [recorded for recorded in events if erases(recorded)]
    seen = [each for each in erasures if each.position <= stored.position]
    # If the view without the person could not be stored, it was removed.
    is_removed = bool(seen) and seen[0].version > expected.version and found.view is None
    return found.view == expected.view or is_removed or len(erasures) > len(seen)
