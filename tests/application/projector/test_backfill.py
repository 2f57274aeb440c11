"""Filling a generation: what comes of the log read by stream is what comes of it read in order."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from application.projector import backfill as filling
from application.projector.backfill import backfill
from application.projector.fold import fold_page
from application.projector.generations import Batch, Filling
from application.projector.view_store import (
    Entry,
    ParkedEvent,
    Slot,
    Unstorable,
    partition_of,
    slots_of,
)
from domain.event import Event, Recorded
from domain.user.events import PreviousName, UserRenamed
from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.users import USERS
from tests.support.log.feeds import LogByStream
from tests.support.views.histories import YAN, ZOE, history, logs, recorded, registered

Log = Sequence[Recorded[Event]]


class Killed(Exception):
    """The process ends here."""


class MemoryBuild:
    """See `Build`; `lives` is how many batches are stored before it is killed."""

    def __init__(self, begun: Filling[Any], lives: int = 10**9) -> None:
        self.filling = begun
        self.lives = lives
        self.entries: dict[Slot[Any], dict[UUID, Entry[Any]]] = {slot: {} for slot in begun.slots}
        self.counters: dict[Slot[Any], Counter[str]] = {slot: Counter() for slot in begun.slots}
        self.parked: dict[Slot[Any], list[ParkedEvent]] = {slot: [] for slot in begun.slots}

    async def store(self, batch: Batch[Any]) -> None:
        views = [e.view for changes in batch.changes.values() for e in changes.entries.values()]
        if b"\\u0000" in msgspec.json.encode(views):
            raise Unstorable("U+0000 in a view")
        if not self.lives:
            raise Killed
        self.lives -= 1
        assert self.filling.after is None or batch.after > self.filling.after
        for slot, changes in batch.changes.items():
            assert not self.entries[slot].keys() & changes.entries.keys()
            self.entries[slot] |= changes.entries
            self.counters[slot].update(changes.counters)
            self.parked[slot] += changes.parked
        self.filling = replace(self.filling, after=batch.after, events=batch.events)

    async def index(self) -> None: ...

    async def follow(self) -> None: ...


async def unreported(done: int, total: int | None) -> None: ...


def begun(projection: Projection[Any], up_to: int, partitions: int = 1) -> Filling[Any]:
    return Filling(slots=slots_of(projection, 2, partitions), up_to=up_to)


def in_order(slot: Slot[Any], log: Log, up_to: int) -> tuple[Any, Any, Any]:
    """What a projector makes of it, event by event in the order of the log."""
    mine = [each for each in log if each.position <= up_to and slot.holds(each.stream)]
    changes = fold_page(slot.projection, {}, frozenset(), mine)
    return changes.entries, changes.counters, _sorted(changes.parked)


def _sorted(parked: Sequence[ParkedEvent]) -> list[ParkedEvent]:
    return sorted(parked, key=lambda each: (each.stream, each.version))


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests set the sizes; afterwards they are as before."""
    for name in ("_PAGE_EVENTS", "_BATCH_STREAMS"):
        monkeypatch.setattr(filling, name, getattr(filling, name))


@pytest.mark.parametrize("projection", [USERS, HEADCOUNT])
@settings(max_examples=60, deadline=None)
@given(
    log=logs(),
    page=st.integers(1, 9),
    lot=st.integers(0, 4),
    lives=st.lists(st.integers(0, 3), max_size=4),
    partitions=st.sampled_from([1, 3]),
    cut=st.floats(0, 1),
)
def test_by_stream_is_as_in_order_whatever_the_sizes_and_however_often_it_is_killed(
    projection: Projection[Any],
    log: Log,
    page: int,
    lot: int,
    lives: list[int],
    partitions: int,
    cut: float,
) -> None:
    filling._PAGE_EVENTS, filling._BATCH_STREAMS = page, lot  # pyright: ignore
    up_to = round(cut * max((each.position for each in log), default=0))
    build = MemoryBuild(begun(projection, up_to, partitions))

    async def to_the_end() -> None:
        for each in [*lives, 10**9]:
            build.lives = each
            try:
                await backfill(build, LogByStream(log), unreported)
            except Killed:
                continue
            return

    asyncio.run(to_the_end())
    for slot in build.filling.slots:
        counters = {name: n for name, n in build.counters[slot].items() if n}
        found = (build.entries[slot], counters, _sorted(build.parked[slot]))
        assert found == in_order(slot, log, up_to)
    assert build.filling.events == sum(each.position <= up_to for each in log)


@pytest.mark.parametrize("partitions", [1, 2])
async def test_a_view_that_cannot_be_stored_parks_its_stream_alone(partitions: int) -> None:
    bad = UserRenamed(name="a\x00b", previous=PreviousName("?"))
    log = [
        *history(registered(), bad),
        *(recorded(registered(name=f"N{n}"), 1, 10 + n, UUID(int=n + 1)) for n in range(20)),
        recorded(registered(), 1, 40, YAN),
    ]
    build = MemoryBuild(begun(USERS, 40, partitions))
    await backfill(build, LogByStream(log), unreported)
    slot = build.filling.slots[partition_of(ZOE, partitions)]
    assert [(p.stream, p.version, p.error) for p in build.parked[slot]] == [
        (ZOE, 1, "U+0000 in a view"),
        (ZOE, 2, "queued behind a parked event"),
    ]
    stored = [stream for entries in build.entries.values() for stream in entries]
    assert sorted(stored) == sorted({each.stream for each in log} - {ZOE})


async def test_what_was_decided_to_be_left_out_is_left_out() -> None:
    log = history(registered(), UserRenamed(name="Zoe", previous=PreviousName("Zoë")))
    skipped = replace(begun(USERS, 2), skipped=frozenset({(ZOE, 2)}))
    build = MemoryBuild(skipped)
    await backfill(build, LogByStream(log), unreported)
    entry = build.entries[build.filling.slots[0]][ZOE]
    assert entry.view is not None
    assert (entry.view.name, entry.version) == ("Zoë", 2)


async def test_how_far_it_is_is_told_and_may_end_it() -> None:
    log = [recorded(registered(), 1, n + 1, UUID(int=n + 1)) for n in range(12)]
    filling._PAGE_EVENTS = 5  # pyright: ignore
    told: list[tuple[int, int | None]] = []

    async def report(done: int, total: int | None) -> None:
        told.append((done, total))
        if done == 10 and len(told) == 2:
            raise Killed

    with pytest.raises(Killed):
        await backfill(MemoryBuild(begun(USERS, 12)), LogByStream(log), report)
    await backfill(MemoryBuild(begun(USERS, 12)), LogByStream(log), report)
    assert told == [(5, 12), (10, 12), (5, 12), (10, 12), (12, 12), (12, 12)]
