"""Backfilling a generation by stream gives the same views as projecting the log in order."""

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

from application.projector import backfill as backfill_module
from application.projector.backfill import backfill
from application.projector.fold import fold_page
from application.projector.generations import Batch, BuildProgress
from application.projector.view_store import (
    Entry,
    ParkedEvent,
    Slot,
    Unstorable,
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
    """The process is killed here."""


class MemoryBuild:
    """A `Build` in memory; it is killed after it has stored `batches_left` batches."""

    def __init__(self, begun: BuildProgress[Any], batches_left: int = 10**9) -> None:
        self.progress = begun
        self.batches_left = batches_left
        self.entries: dict[UUID, Entry[Any]] = {}
        self.counters = Counter[str]()
        self.parked: list[ParkedEvent] = []

    async def store(self, batch: Batch[Any]) -> None:
        changes = batch.changes
        views = [entry.view for entry in changes.entries.values()]
        if b"\\u0000" in msgspec.json.encode(views):
            raise Unstorable("U+0000 in a view")
        if not self.batches_left:
            raise Killed
        self.batches_left -= 1
        assert self.progress.after is None or batch.after > self.progress.after
        assert not self.entries.keys() & changes.entries.keys()
        self.entries |= changes.entries
        self.counters.update(changes.counters)
        self.parked += changes.parked
        self.progress = replace(self.progress, after=batch.after, events=batch.events)

    async def index(self) -> None: ...

    async def follow(self) -> None: ...


async def ignore_progress(done: int, total: int | None) -> None: ...


def begun(projection: Projection[Any], up_to: int) -> BuildProgress[Any]:
    return BuildProgress(slot=Slot(projection, 2), up_to=up_to)


def in_order(slot: Slot[Any], log: Log, up_to: int) -> tuple[Any, Any, Any]:
    """What a projector stores: event by event, in the order of the log."""
    events = [each for each in log if each.position <= up_to]
    changes = fold_page(slot.projection, {}, frozenset(), events)
    return changes.entries, changes.counters, _sorted(changes.parked)


def _sorted(parked: Sequence[ParkedEvent]) -> list[ParkedEvent]:
    return sorted(parked, key=lambda each: (each.stream, each.version))


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores the sizes that the tests set."""
    for name in ("_PAGE_EVENTS", "_BATCH_STREAMS"):
        monkeypatch.setattr(backfill_module, name, getattr(backfill_module, name))


@pytest.mark.parametrize("projection", [USERS, HEADCOUNT])
@settings(max_examples=60, deadline=None)
@given(
    log=logs(),
    page_events=st.integers(1, 9),
    batch_streams=st.integers(0, 4),
    batches_left=st.lists(st.integers(0, 3), max_size=4),
    cut=st.floats(0, 1),
)
def test_a_backfill_equals_a_projection_for_any_sizes_and_interruptions(
    projection: Projection[Any],
    log: Log,
    page_events: int,
    batch_streams: int,
    batches_left: list[int],
    cut: float,
) -> None:
    backfill_module._PAGE_EVENTS, backfill_module._BATCH_STREAMS = page_events, batch_streams  # pyright: ignore
    up_to = round(cut * max((each.position for each in log), default=0))
    build = MemoryBuild(begun(projection, up_to))

    async def run_to_the_end() -> None:
        for each in [*batches_left, 10**9]:
            build.batches_left = each
            try:
                await backfill(build, LogByStream(log), ignore_progress)
            except Killed:
                continue
            return

    asyncio.run(run_to_the_end())
    counters = {name: n for name, n in build.counters.items() if n}
    found = (build.entries, counters, _sorted(build.parked))
    assert found == in_order(build.progress.slot, log, up_to)
    assert build.progress.events == sum(each.position <= up_to for each in log)


async def test_a_view_that_cannot_be_stored_parks_only_its_stream() -> None:
    bad = UserRenamed(name="a\x00b", previous=PreviousName("?"))
    log = [
        *history(registered(), bad),
        *(recorded(registered(name=f"N{n}"), 1, 10 + n, UUID(int=n + 1)) for n in range(20)),
        recorded(registered(), 1, 40, YAN),
    ]
    build = MemoryBuild(begun(USERS, 40))
    await backfill(build, LogByStream(log), ignore_progress)
    assert [(p.stream, p.version, p.error) for p in build.parked] == [
        (ZOE, 1, "U+0000 in a view"),
        (ZOE, 2, "queued behind a parked event"),
    ]
    assert sorted(build.entries) == sorted({each.stream for each in log} - {ZOE})


async def test_skipped_events_are_left_out() -> None:
    log = history(registered(), UserRenamed(name="Zoe", previous=PreviousName("Zoë")))
    skipped = replace(begun(USERS, 2), skipped=frozenset({(ZOE, 2)}))
    build = MemoryBuild(skipped)
    await backfill(build, LogByStream(log), ignore_progress)
    entry = build.entries[ZOE]
    assert entry.view is not None
    assert (entry.view.name, entry.version) == ("Zoë", 2)


async def test_progress_is_reported_and_an_error_in_the_report_ends_the_backfill() -> None:
    log = [recorded(registered(), 1, n + 1, UUID(int=n + 1)) for n in range(12)]
    backfill_module._PAGE_EVENTS = 5  # pyright: ignore
    reported: list[tuple[int, int | None]] = []

    async def report(done: int, total: int | None) -> None:
        reported.append((done, total))
        if done == 10 and len(reported) == 2:
            raise Killed

    with pytest.raises(Killed):
        await backfill(MemoryBuild(begun(USERS, 12)), LogByStream(log), report)
    await backfill(MemoryBuild(begun(USERS, 12)), LogByStream(log), report)
    assert reported == [(5, 12), (10, 12), (5, 12), (10, 12), (12, 12), (12, 12)]
