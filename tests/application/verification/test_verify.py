"""Verifying reports exactly the streams that differ, in memory that does not grow with the log."""

import tracemalloc
from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from application.log.by_stream import Place
from application.log.event_log import FeedPage
from application.projector.fold import after
from application.projector.projector import Projector
from application.projector.view_store import Entry, Slot, slots_of
from application.verification import verify as module
from application.verification.report import Tally
from application.verification.stored_views import StoredStream
from application.verification.verify import verify
from domain.event import Event, Recorded
from infrastructure.doorbell.memory import MemoryDoorbell
from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.users import USERS
from tests.support.doubles.view_store import MemoryViewStore
from tests.support.log.feeds import LogByStream
from tests.support.views.compare_views import ignore_progress
from tests.support.views.histories import YAN, ZOE, logs, recorded, registered

Log = Sequence[Recorded[Event]]


async def _projected(slots: Sequence[Slot[Any]], log: Log) -> MemoryViewStore:
    store = MemoryViewStore()
    for slot in slots:
        async with Projector[Any].leading(store, slot, MemoryDoorbell()) as projector:
            if log:
                await projector.handle(FeedPage(events=log, reached=log[-1].position))
    return store


def _damage(store: MemoryViewStore, slots: Sequence[Slot[Any]], random: Random) -> set[UUID]:
    """Remove, change or invent some streams; returns their ids."""
    damaged: set[UUID] = set()
    for slot in slots:
        entries = store.stored(slot).entries
        for stream, entry in list(entries.items()):
            match random.randrange(6):
                case 0:
                    del entries[stream]
                case 1:
                    entries[stream] = Entry(entry.view, entry.version, b"another chain")
                case 2:
                    entries[stream] = Entry(entry.view, entry.version + 1, entry.chain)
                case 3:
                    entries[stream] = Entry(None, entry.version, entry.chain)
                case _:
                    continue
            damaged.add(stream)
        stray = UUID(int=random.getrandbits(128))
        if slot.holds(stray):
            entries[stray] = Entry(None, 1, b"")
            damaged.add(stray)
    return damaged


@given(log=logs(), random=st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@pytest.mark.parametrize("projection", [USERS, HEADCOUNT])
async def test_exactly_the_damaged_streams_are_reported_for_every_page_size(
    monkeypatch: pytest.MonkeyPatch, projection: Projection[Any], log: Log, random: Random
) -> None:
    monkeypatch.setattr(module, "_PAGE_EVENTS", random.randrange(1, 9))
    monkeypatch.setattr(module, "_PAGE_STREAMS", random.randrange(1, 5))
    partitions = random.choice((1, 3))
    slots = slots_of(replace(projection, partitions=partitions), 1, partitions)
    store = await _projected(slots, log)
    damaged = _damage(store, slots, random)
    async with store.stored_views(slots) as stored_views:
        found = await verify(stored_views, LogByStream(log), ignore_progress)
    assert {stream for slot in found for stream in slot.streams} == damaged
    assert sum(slot.differing for slot in found) == len(damaged)
    assert sum(slot.log.events for slot in found) == len(log)
    for slot in found:
        assert slot.matches == (not slot.differing)
        assert not slot.counters
        if not slot.differing:
            assert slot.log == slot.views


def test_a_checksum_depends_on_the_events_and_not_on_their_order() -> None:
    one, other = Entry[Any](None, 1, b"one"), Entry[Any](None, 2, b"other")
    forward, backward, swapped = Tally(), Tally(), Tally()
    for tally, pairs in (
        (forward, [(ZOE, one), (YAN, other)]),
        (backward, [(YAN, other), (ZOE, one)]),
        (swapped, [(ZOE, other), (YAN, one)]),
    ):
        for stream, entry in pairs:
            tally.add(stream, entry)
    assert (forward.events, forward.checksum) == (backward.events, backward.checksum)
    assert (swapped.events, swapped.checksum == forward.checksum) == (3, False)


_SLOT: Final = Slot(HEADCOUNT)


def _event(number: int) -> Recorded[Event]:
    return recorded(registered(), 1, number, UUID(int=number))


class Endless:
    """`EventsByStream` and `StoredViews` with `streams` users, created when they are read."""

    slots = (_SLOT,)

    def __init__(self, streams: int) -> None:
        self.streams = streams
        self.positions = (streams,)

    async def head(self) -> int:
        return self.streams

    async def count(self, up_to: int) -> int:
        return up_to

    async def read(self, kinds: Collection[str], after: Place, up_to: int, limit: int) -> Log:
        return [_event(n) for n in self._after(after.stream, limit)]

    async def page(self, after: UUID | None, limit: int) -> Sequence[StoredStream[Any]]:
        return [
            StoredStream(stream=UUID(int=n), entry=_entry(n))
            for n in self._after(after or UUID(int=0), limit)
        ]

    async def counters(self) -> Sequence[Mapping[str, int]]:
        return [{}]

    def _after(self, stream: UUID, limit: int) -> range:
        return range(stream.int + 1, min(stream.int + limit, self.streams) + 1)


def _entry(number: int) -> Entry[Any]:
    """Every second entry differs from the log."""
    entry = after(HEADCOUNT, Entry(None, 0, b""), _event(number))
    return entry if number % 2 else Entry(None, 9, b"")


async def test_memory_does_not_grow_with_the_log() -> None:
    async def peak_memory(streams: int) -> int:
        endless = Endless(streams)
        tracemalloc.reset_peak()
        [slot] = await verify(endless, endless, ignore_progress)
        assert (slot.differing, len(slot.streams)) == (streams // 2, min(streams // 2, 100))
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        peak_of_few = await peak_memory(1_000)
        assert await peak_memory(4_000) < 1.2 * peak_of_few
    finally:
        tracemalloc.stop()
