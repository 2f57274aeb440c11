"""An erasure takes the person out of every view, also where its turn has not come."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from application.log.event_log import FeedPage, Unreadable
from application.projector.fold import fold_page
from application.projector.projector import Projector
from application.projector.view_store import Slot
from domain.event import ERASED, Event, Recorded
from domain.user.events import UserDeleted, UserErased, UserRegistered, UserSuspended
from infrastructure.doorbell.memory import MemoryDoorbell
from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.registry import PROJECTIONS
from projections.users import USERS, UserRow
from tests.support.doubles.view_store import MemoryViewStore
from tests.support.log.feeds import LogByStream
from tests.support.views.histories import YAN, ZOE, history, logs, recorded, registered
from tests.support.views.refolded import Snapshot, differences, snapshot

UNREADABLE = Unreadable(type="user.strange", reason="UnknownTopic")
GONE = registered(name=ERASED, email=ERASED, external_id=ERASED, attributes=ERASED)


async def project(
    store: MemoryViewStore, slot: Slot[Any], *pages: Sequence[Recorded[Event]]
) -> Snapshot[Any]:
    """The slot after some pages."""
    async with Projector[Any].leading(store, slot, MemoryDoorbell()) as projector:
        for events in pages:
            await projector.handle(FeedPage(events=events, reached=events[-1].position))
    return await snapshot(store.kept, slot)


def pages_of(log: Sequence[Recorded[Event]], size: int) -> list[Sequence[Recorded[Event]]]:
    return [log[n : n + size] for n in range(0, len(log), size)]


@pytest.mark.parametrize("page_size", [1, 3])
async def test_a_parked_user_who_is_erased_is_shown_as_erased(page_size: int) -> None:
    log = history(registered(attributes={"floor": 2}), UNREADABLE, UserErased())
    shot = await project(MemoryViewStore(), Slot(USERS), *pages_of(log, page_size))
    row = shot.entries[ZOE].view
    assert isinstance(row, UserRow)
    assert (row.name, row.email, row.external_id, row.attributes) == (None, None, None, None)
    assert (row.status, row.version, row.updated_at) == ("erased", 1, log[2].recorded_at)
    assert shot.parked == {ZOE: 2}


async def test_the_counts_of_a_parked_user_are_those_of_an_erased_one() -> None:
    log = [*history(registered(), UNREADABLE, UserErased()), recorded(registered(), 1, 9, YAN)]
    shot = await project(MemoryViewStore(), Slot(HEADCOUNT), log)
    assert shot.counters == {
        "status:active": 1,
        "status:erased": 1,
        "role:member": 1,
        "registered:2024-05-06": 2,
    }


async def test_a_hole_before_the_erasure_does_not_keep_the_person() -> None:
    first, _, erased = history(registered(), UNREADABLE, UserErased())
    shot = await project(MemoryViewStore(), Slot(USERS), [first, erased])
    row = shot.entries[ZOE].view
    assert isinstance(row, UserRow)
    assert (row.name, row.version) == (None, 1)


@pytest.mark.parametrize("projection", PROJECTIONS)
async def test_a_user_who_never_had_a_view_gets_none(projection: Projection[Any]) -> None:
    shot = await project(
        MemoryViewStore(), Slot(projection), history(UNREADABLE, GONE, UserErased())
    )
    assert (shot.entries, shot.counters, shot.parked) == ({}, {}, {ZOE: 1})


@pytest.mark.parametrize("projection", PROJECTIONS)
async def test_a_parked_and_erased_user_is_no_difference(projection: Projection[Any]) -> None:
    store, slot = MemoryViewStore(), Slot(projection)
    await project(store, slot, history(registered(), UNREADABLE, UserErased()))
    now = LogByStream(history(GONE, UNREADABLE, UserErased()))
    assert not await differences(store.kept, now, [slot])
    entries = store.stored(slot).entries
    # As where it could not be stored without the person.
    entries[ZOE] = replace(entries[ZOE], view=None)
    store.stored(slot).counters.clear()
    assert not await differences(store.kept, now, [slot])
    entries[ZOE] = replace(entries[ZOE], version=2)
    assert (await differences(store.kept, now, [slot])).streams == {ZOE}


@given(log=logs(), random=st.randoms(use_true_random=False))
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_what_is_folded_on_an_erased_view_comes_to_the_same(
    projection: Projection[Any], log: list[Recorded[Event]], random: Any
) -> None:
    """So a parked stream can be repaired after its person was erased."""
    for events in _of_erased(log).values():
        _assert_repaired_is_as_folded(projection, events, random.randrange(1, len(events)))


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_what_the_user_was_before_a_deletion_is_no_matter_then(
    projection: Projection[Any], cut: int
) -> None:
    events = history(registered(), UserSuspended(), UserDeleted(), UserErased())
    _assert_repaired_is_as_folded(projection, events, cut)


def _assert_repaired_is_as_folded(
    projection: Projection[Any], events: Sequence[Recorded[Event]], cut: int
) -> None:
    view = _fold(projection, None, events[:cut])
    early = projection.evolve(view, replace(events[-1], version=cut))
    afterwards = [_as_erased(event) for event in events]
    assert _fold(projection, early, afterwards[cut:]) == _fold(projection, None, afterwards)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_an_erasure_that_is_left_out_for_good_still_takes_the_person_out(
    projection: Projection[Any],
) -> None:
    events = history(registered(), UserErased())
    entry = fold_page(projection, {}, frozenset(), events, frozenset({(ZOE, 2)})).entries[ZOE]
    assert entry.version == 2
    assert getattr(entry.view, "status", None) == "erased"
    assert "Zo" not in str(entry.view)


class Diary(Struct, frozen=True):
    """What a projection keeps that forgot about erasures."""

    text: str


def _diary(view: Diary | None, event: Recorded[Event]) -> Diary | None:
    match event.event:
        case UserRegistered(name=str(name)):
            return Diary(name)
        case UserErased():
            raise LookupError("erasures are not foreseen")
        case _:
            return view


DIARY = Projection(
    name="diary",
    kinds=frozenset({"user"}),
    view=Diary,
    evolve=_diary,
    contribution=lambda view: {"letters": len(view.text)},
)


@pytest.mark.parametrize("events", [(UserErased(),), (UNREADABLE, UserErased())])
async def test_a_view_that_cannot_fold_the_erasure_is_taken_away(events: tuple[Event, ...]) -> None:
    store = MemoryViewStore()
    shot = await project(store, Slot(DIARY), history(registered(), *events))
    assert (shot.entries[ZOE].view, shot.entries[ZOE].version) == (None, 1)
    assert (shot.counters, shot.parked) == ({}, {ZOE: 2})


@pytest.mark.parametrize("bad", ["not\x00storable", "uncounted"])
async def test_a_view_that_cannot_be_stored_once_erased_is_taken_away(bad: str) -> None:
    def evolve(view: Diary | None, event: Recorded[Event]) -> Diary | None:
        return Diary(bad) if isinstance(event.event, UserErased) else _diary(view, event)

    def contribution(view: Diary) -> Mapping[str, int]:
        return {"letters": len(view.text) // (view.text != "uncounted")}

    slot = Slot(replace(DIARY, evolve=evolve, contribution=contribution))
    log = [*history(registered(), UserErased()), recorded(registered(name="Yan"), 1, 9, YAN)]
    shot = await project(MemoryViewStore(), slot, log)
    assert (shot.entries[ZOE].view, shot.entries[YAN].view) == (None, Diary("Yan"))
    assert (shot.counters, shot.parked) == ({"letters": 3}, {ZOE: 2})


async def test_a_view_that_could_not_be_counted_again_goes_all_the_same() -> None:
    """The code has changed since it was stored."""
    store, slot = MemoryViewStore(), Slot(DIARY)
    log = history(registered(name="a\x01b"), UserErased())
    await project(store, slot, log[:1])

    def contribution(view: Diary) -> Mapping[str, int]:
        raise LookupError(view.text)

    shot = await project(store, Slot(replace(DIARY, contribution=contribution)), log[1:])
    assert (shot.entries[ZOE].view, shot.position) == (None, 2)


def _of_erased(log: Sequence[Recorded[Event]]) -> dict[UUID, list[Recorded[Event]]]:
    """The events of each stream that ends with an erasure."""
    streams: dict[UUID, list[Recorded[Event]]] = {}
    for event in log:
        streams.setdefault(event.stream, []).append(event)
    return {s: events for s, events in streams.items() if isinstance(events[-1].event, UserErased)}


def _as_erased(recorded: Recorded[Event]) -> Recorded[Event]:
    """As the log tells it once the key is gone."""
    event = recorded.event
    return replace(recorded, event=replace(event, **dict.fromkeys(event.personal, ERASED)))


def _fold(projection: Projection[Any], view: Any, events: Sequence[Recorded[Event]]) -> Any:
    for event in events:
        view = projection.evolve(view, event)
    return view
