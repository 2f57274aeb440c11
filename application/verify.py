"""Compares views with a fresh fold of the log: what differs was lost, doubled or folded wrongly."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from uuid import UUID

from msgspec import Struct

from application.event_log import EventFeed
from application.follower import PAGE_EVENTS
from application.project import after, contribution_of
from application.views import Entry, Slot, ViewStore
from domain.event import Event, Recorded
from projections.projection import V


class Differences(Struct, frozen=True, kw_only=True):
    """What of a slot is not as the log has it: streams, and names of counters."""

    streams: frozenset[UUID]
    counters: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.streams or self.counters)


async def differences(store: ViewStore, feed: EventFeed, slot: Slot[V]) -> Differences:
    """The slot at one moment, against the log folded up to the slot's checkpoint of that moment.

    Version, chain and every field of a view count. A parked stream must be as it was before its
    first parked event. Holds the slot and the fold in memory. Raises `Unavailable`.
    """
    seen = await store.snapshot(slot)
    fresh: dict[UUID, Entry[V]] = {}
    # Streams with events that were erased after the checkpoint: the view still shows what the log
    # no longer tells. The erasure itself then lies beyond the checkpoint.
    erased: set[UUID] = set()
    going_on: set[UUID] = set()
    async for recorded in _events(feed, slot):
        if recorded.position > seen.position:
            going_on.add(recorded.stream)
            continue
        if recorded.is_erased:
            erased.add(recorded.stream)
        if recorded.version < seen.parked.get(recorded.stream, recorded.version + 1):
            _take(slot, fresh, recorded)
    streams = {
        stream
        for stream in fresh.keys() | seen.entries.keys()
        if not _same(fresh.get(stream), seen.entries.get(stream), stream in erased & going_on)
    }
    return Differences(
        streams=frozenset(streams), counters=_differing_counters(slot, fresh, seen.counters)
    )


async def _events(feed: EventFeed, slot: Slot[V]) -> AsyncGenerator[Recorded[Event]]:
    """The slot's events, from the first to the head of the log."""
    position = 0
    while (page := await feed.read(position, PAGE_EVENTS)).reached > position:
        for recorded in page.events:
            if recorded.kind in slot.projection.kinds and slot.holds(recorded.stream):
                yield recorded
        position = page.reached


def _take(slot: Slot[V], fresh: dict[UUID, Entry[V]], recorded: Recorded[Event]) -> None:
    entry = fresh.get(recorded.stream) or Entry(None, 0, b"")
    try:
        fresh[recorded.stream] = after(slot.projection, entry, recorded)
    except Exception:
        # What cannot be folded should be parked; as an entry of no version it differs.
        fresh[recorded.stream] = Entry(None, -1, b"")


def _same(fresh: Entry[V] | None, seen: Entry[V] | None, erased_since: bool) -> bool:
    if fresh is None or seen is None or not erased_since:
        return fresh == seen
    return (fresh.version, fresh.chain) == (seen.version, seen.chain)


def _differing_counters(
    slot: Slot[V], fresh: Mapping[UUID, Entry[V]], seen: Mapping[str, int]
) -> frozenset[str]:
    sums = Counter[str]()
    for entry in fresh.values():
        sums.update(contribution_of(slot.projection, entry))
    return frozenset(name for name in sums.keys() | seen.keys() if sums[name] != seen.get(name, 0))
