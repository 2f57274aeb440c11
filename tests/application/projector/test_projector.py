"""The projector: the views equal a fold of the log, for any pages, restarts and redeliveries."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from application.doorbell import view_bell
from application.log.event_log import FeedPage, Unreadable
from application.log.follower import NotLeading
from application.projector.fold import NOTHING, QUEUED, after, entry_after
from application.projector.projector import Projector
from application.projector.view_store import Entry, Slot
from domain.event import ERASED, Event, Recorded
from domain.user.events import PreviousName, UserErased, UserRenamed
from infrastructure.doorbell.memory import MemoryDoorbell
from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.users import USERS
from tests.support.doubles.view_store import MemoryViewStore
from tests.support.log.feeds import LogByStream
from tests.support.views.compare_views import differences, snapshot
from tests.support.views.histories import YAN, ZOE, history, logs, recorded, registered
from tests.support.views.interrupted_projection import project_with_interruptions
from tests.support.views.replay import Snapshot


def page(*events: Recorded[Event], reached: int | None = None) -> FeedPage:
    return FeedPage(events=events, reached=reached or events[-1].position)


async def project(store: MemoryViewStore, slot: Slot[Any], *pages: FeedPage) -> Snapshot[Any]:
    """The slot after these pages, all handled by one leader."""
    async with Projector[Any].leading(store, slot, MemoryDoorbell()) as projector:
        for each in pages:
            await projector.handle(each)
    return await snapshot(store.stored_views, slot)


def folded(projection: Projection[Any], events: Sequence[Recorded[Event]]) -> Mapping[UUID, Any]:
    """A plain fold of all events, without the projector."""
    views: dict[UUID, Any] = {}
    for event in events:
        views[event.stream] = projection.evolve(views.get(event.stream), event)
    return views


@given(log=logs(), random=st.randoms(use_true_random=False))
@pytest.mark.parametrize("projection", [USERS, HEADCOUNT])
async def test_views_and_counters_equal_one_fold_of_the_log(
    projection: Projection[Any], log: list[Recorded[Event]], random: Random
) -> None:
    store = MemoryViewStore()
    slot = Slot(projection)
    await project_with_interruptions(store, slot, log, random)
    result = await snapshot(store.stored_views, slot)
    views = {stream: entry.view for stream, entry in result.entries.items()}
    assert views == folded(projection, log)
    assert not result.parked
    assert not await differences(store.stored_views, LogByStream(log), [slot])


async def test_the_checkpoint_moves_over_positions_without_events() -> None:
    slot = Slot(USERS)
    assert (await project(MemoryViewStore(), slot, page(reached=7))).position == 7


async def test_the_bell_of_the_view_rings_after_a_page() -> None:
    doorbell = MemoryDoorbell()
    async with (
        doorbell.listen(view_bell("users")) as bell,
        Projector[Any].leading(MemoryViewStore(), Slot(USERS), doorbell) as projector,
    ):
        await projector.handle(page(*history(registered())))
        assert await bell.wait(0)


async def test_a_leader_that_lost_its_lead_writes_nothing() -> None:
    store, slot = MemoryViewStore(), Slot(USERS)
    async with Projector[Any].leading(store, slot, MemoryDoorbell()) as frozen:
        store.stored(slot).position = 1
        with pytest.raises(NotLeading):
            await frozen.handle(page(*history(registered())))
    assert store.stored(slot).entries == {}


class Picky(Struct, frozen=True):
    """All names of a user in one text; the projection fails on some names."""

    text: str


def _picky(view: Picky | None, event: Recorded[Event]) -> Picky | None:
    match event.event:
        case UserRenamed(name="boom"):
            raise KeyError("boom")
        case UserRenamed(name="gone"):
            return None
        case UserRenamed(name=str(name)):
            return Picky(view.text + name if view else name)
        case _:
            return view or Picky("")


PICKY = Slot(
    Projection(
        name="picky",
        kinds=frozenset({"user"}),
        view=Picky,
        evolve=_picky,
        contribution=lambda view: {"letters": len(view.text) // ("no count" not in view.text)},
    )
)


def renamed(name: str) -> UserRenamed:
    return UserRenamed(name=name, previous=PreviousName("?"))


def parked(store: MemoryViewStore, slot: Slot[Any]) -> list[tuple[int, str]]:
    return [(event.version, event.error) for event in store.stored(slot).parked.values()]


def texts(result: Snapshot[Any]) -> dict[UUID, str]:
    return {s: entry.view.text for s, entry in result.entries.items() if entry.view is not None}


@pytest.mark.parametrize("bad", ["boom", "not \x00 storable", "no count"])
@pytest.mark.parametrize("page_size", [1, 2, 100])
async def test_an_event_that_cannot_be_applied_parks_only_its_stream(
    bad: str, page_size: int
) -> None:
    zoe = history(registered(), renamed("a"), renamed(bad), renamed("late"), renamed("later"))
    log = [
        *zoe[:3],
        recorded(registered(), 1, 10, YAN),
        recorded(renamed("fine"), 2, 11, YAN),
        recorded(zoe[3].event, 4, 12),
        recorded(renamed("finer"), 3, 13, YAN),
        recorded(zoe[4].event, 5, 14),
    ]
    pages = [page(*log[n : n + page_size]) for n in range(0, len(log), page_size)]
    store = MemoryViewStore()
    result = await project(store, PICKY, *pages)
    assert texts(result) == {ZOE: "a", YAN: "finefiner"}
    assert result.entries[ZOE].version == 2
    assert result.parked == {ZOE: 3}
    assert result.position == 14
    assert result.counters == {"letters": 10}
    errors = parked(store, PICKY)
    assert [version for version, _ in errors] == [3, 4, 5]
    assert [error for _, error in errors[1:]] == [QUEUED, QUEUED]
    assert "boom" not in errors[0][1].partition("(")[0]
    assert not await differences(store.stored_views, LogByStream(log), [PICKY])


async def test_an_event_that_cannot_be_read_is_parked_with_its_reason() -> None:
    store = MemoryViewStore()
    strange = Unreadable(type="user.strange", reason="UnknownTopic")
    await project(store, Slot(HEADCOUNT), page(*history(registered(), strange)))
    assert parked(store, Slot(HEADCOUNT)) == [(2, "UnknownTopic")]


async def test_a_missing_event_parks_the_rest_of_its_stream() -> None:
    store, slot = MemoryViewStore(), Slot(USERS)
    first, _, third = history(registered(), renamed("lost"), renamed("third"))
    await project(store, slot, page(first, third))
    assert parked(store, slot) == [(3, "version 2 is missing")]


async def test_a_removed_view_keeps_its_version_and_may_come_back() -> None:
    store = MemoryViewStore()
    events = history(registered(), renamed("gone"), renamed("back"))
    gone = await project(store, PICKY, page(*events[:2]))
    assert (texts(gone), gone.entries[ZOE].version, gone.counters) == ({}, 2, {})
    back = await project(store, PICKY, page(events[2]))
    assert (texts(back), back.counters) == ({ZOE: "back"}, {"letters": 4})


async def test_a_view_that_differs_from_the_log_is_reported() -> None:
    store, slot = MemoryViewStore(), Slot(HEADCOUNT)
    log = [*history(registered()), recorded(registered(), 1, 5, YAN)]
    await project(store, slot, page(*log))
    tampered = [log[0], recorded(registered(role="other"), 1, 5, YAN)]
    found = await differences(store.stored_views, LogByStream(tampered), [slot])
    assert found.streams == {YAN}
    assert found.counters == {"role:member", "role:other"}


async def test_a_person_erased_after_the_checkpoint_is_not_a_difference() -> None:
    store, slot = MemoryViewStore(), Slot(USERS)
    await project(store, slot, page(*history(registered())))
    erased = registered(name=ERASED, email=ERASED, external_id=ERASED, attributes=ERASED)
    assert not await differences(
        store.stored_views, LogByStream(history(erased, UserErased())), [slot]
    )
    assert await differences(store.stored_views, LogByStream(history(erased)), [slot])


@pytest.mark.parametrize("event", [registered(), UserErased()])
def test_a_skipped_event_raises_the_version_that_the_view_shows(
    event: Event,
) -> None:
    first, second = history(registered(), event)
    seen = after(USERS, NOTHING, first)
    skipped = entry_after(USERS, seen, second, frozenset({(ZOE, 2)}))
    assert isinstance(skipped, Entry)
    assert skipped.view is not None
    assert (skipped.version, skipped.view.version) == (2, 2)
    assert (skipped.view.name is None) == isinstance(event, UserErased)
