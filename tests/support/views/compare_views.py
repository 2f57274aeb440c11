"""Compares the views with a new fold of the log, and copies a slot into memory, for tests."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Generic
from uuid import UUID

from msgspec import Struct

from application.log.by_stream import EventsByStream
from application.projector.view_store import Entry, Slot, slots_of
from application.verification.stored_views import OpenStoredViews, StoredStream
from application.verification.verify import verify
from infrastructure.event_store.by_stream import PostgresEventsByStream
from infrastructure.views.repair.stored_views import PostgresStoredViews
from interfaces.composition.event_store import EventStore
from projections.projection import V


class Differences(Struct, frozen=True, kw_only=True):
    """The streams and the names of the counters that differ from the log in a generation."""

    streams: frozenset[UUID]
    counters: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.streams or self.counters)


class Snapshot(Struct, Generic[V], frozen=True, kw_only=True):
    """All data of a slot at one moment; `parked` has the first parked version of each stream."""

    position: int
    entries: Mapping[UUID, Entry[V]]
    counters: Mapping[str, int]
    parked: Mapping[UUID, int]


async def ignore_progress(done: int, total: int | None) -> None:
    """A report that does nothing."""


async def differences(
    open_views: OpenStoredViews, histories: EventsByStream, slots: Sequence[Slot[Any]]
) -> Differences:
    """The differences in the generation that has these slots."""
    async with open_views(slots) as stored:
        found = await verify(stored, histories, ignore_progress)
    return Differences(
        streams=frozenset(stream for each in found for stream in each.streams),
        counters=frozenset(name for each in found for name in each.counters),
    )


async def snapshot(open_views: OpenStoredViews, slot: Slot[V]) -> Snapshot[V]:
    """All that is stored for a slot."""
    projection = slot.projection
    slots = slots_of(projection, slot.generation, projection.partitions)
    async with open_views(slots) as stored:
        streams: list[StoredStream[V]] = []
        while page := await stored.page(streams[-1].stream if streams else None, 3):
            streams += page
        slot_streams = [each for each in streams if slot.holds(each.stream)]
        return Snapshot(
            position=stored.positions[slot.partition],
            entries={each.stream: each.entry for each in slot_streams if each.entry is not None},
            counters=(await stored.counters())[slot.partition],
            parked={each.stream: each.parked for each in slot_streams if each.parked is not None},
        )


def views_in(database_url: str) -> OpenStoredViews:
    """The views of a database."""
    return partial(PostgresStoredViews[Any].open, database_url)


def events_by_stream_of(events: EventStore) -> PostgresEventsByStream:
    """The log of an event store, stream by stream."""
    return PostgresEventsByStream(events.database, events.keys)
