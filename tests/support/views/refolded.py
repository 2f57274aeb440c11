"""The views against a fresh fold of the log, for tests; and all of a slot in memory, to look at."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Generic
from uuid import UUID

from msgspec import Struct

from application.log.by_stream import EventsByStream
from application.projector.view_store import Entry, Slot, slots_of
from application.verification.stored_views import OpenKeptViews, StoredStream
from application.verification.verify import verify
from infrastructure.event_store.by_stream import PostgresEventsByStream
from infrastructure.views.repair.stored_views import PostgresStoredViews
from interfaces.composition.event_store import EventStore
from projections.projection import V


class Differences(Struct, frozen=True, kw_only=True):
    """What of a generation is not as the log has it: streams, and names of counters."""

    streams: frozenset[UUID]
    counters: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.streams or self.counters)


class Snapshot(Struct, Generic[V], frozen=True, kw_only=True):
    """All of one slot at one moment; `parked` has the first parked version of each stream."""

    position: int
    entries: Mapping[UUID, Entry[V]]
    counters: Mapping[str, int]
    parked: Mapping[UUID, int]


async def unreported(done: int, total: int | None) -> None:
    """For whoever does not care how far a comparison is."""


async def differences(
    views: OpenKeptViews, histories: EventsByStream, slots: Sequence[Slot[Any]]
) -> Differences:
    """What differs in a generation, of which these are the slots."""
    async with views(slots) as kept:
        found = await verify(kept, histories, unreported)
    return Differences(
        streams=frozenset(stream for each in found for stream in each.streams),
        counters=frozenset(name for each in found for name in each.counters),
    )


async def snapshot(views: OpenKeptViews, slot: Slot[V]) -> Snapshot[V]:
    """Everything of a slot."""
    projection = slot.projection
    slots = slots_of(projection, slot.generation, projection.partitions)
    async with views(slots) as kept:
        streams: list[StoredStream[V]] = []
        while page := await kept.page(streams[-1].stream if streams else None, 3):
            streams += page
        mine = [each for each in streams if slot.holds(each.stream)]
        return Snapshot(
            position=kept.positions[slot.partition],
            entries={each.stream: each.entry for each in mine if each.entry is not None},
            counters=(await kept.counters())[slot.partition],
            parked={each.stream: each.parked for each in mine if each.parked is not None},
        )


def views_in(database_url: str) -> OpenKeptViews:
    """The views of a database."""
    return partial(PostgresStoredViews[Any].open, database_url)


def histories_of(events: EventStore) -> PostgresEventsByStream:
    """The log of an event store, stream by stream."""
    return PostgresEventsByStream(events.reader, events.keys)
