"""An erasure removes the person from every view, also from views of parked streams."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
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
from tests.support.views.compare_views import differences, snapshot
from tests.support.views.documented import documented
from tests.support.views.histories import YAN, ZOE, history, logs, recorded, registered
from tests.support.views.replay import Snapshot

EACH: Final = (*PROJECTIONS, documented())
UNREADABLE = Unreadable(type="user.strange", reason="UnknownTopic")
GONE = registered(name=ERASED, email=ERASED, external_id=ERASED, attributes=ERASED)


async def project(
    store: MemoryViewStore, slot: Slot[Any], *pages: Sequence[Recorded[Event]]
) -> Snapshot[Any]:
    """Returns the slot after these pages."""
    async with Projector[Any].leading(store, slot, MemoryDoorbell()) as projector:
        for events in pages:
            await projector.handle(FeedPage(events=events, reached=events[-1].position))
    return await snapshot(store.stored_views, slot)


def pages_of(log: Sequence[Recorded[Event]], size: int) -> list[Sequence[Recorded[Event]]]:
    return [log[n : n + size] for n in range(0, len(log), size)]


@pytest.mark.parametrize("page_size", [1, 3])
async def test_a_parked_user_is_shown_as_erased_after_an_erasure(page_size: int) -> None:
    log = history(registered(attributes={"floor": 2}), UNREADABLE, UserErased())
    found = await project(MemoryViewStore(), Slot(USERS), *pages_of(log, page_size))
    row = found.entries[ZOE].view
    assert isinstance(row, UserRow)
    assert (row.name, row.email, row.external_id, row.attributes) == (None, None, None, None)
    assert (row.status, row.version, row.updated_at) == ("erased", 1, log[2].recorded_at)
    assert found.parked == {ZOE: 2}


async def test_the_counts_of_a_parked_user_are_those_of_an_erased_one() -> None:
    log = [*history(registered(), UNREADABLE, UserErased()), recorded(registered(), 1, 9, YAN)]
    found = await project(MemoryViewStore(), Slot(HEADCOUNT), log)
    assert found.counters == {
        "status:active": 1,
        "status:erased": 1,
        "role:member": 1,
        "registered:2024-05-06": 2,
    }


async def test_a_missing_event_before_the_erasure_does_not_keep_personal_data() -> None:
    first, _, erased = history(registered(), UNREADABLE, UserErased())
    found = await project(MemoryViewStore(), Slot(USERS), [first, erased])
    row = found.entries[ZOE].view
    assert isinstance(row, UserRow)
    assert (row.name, row.version) == (None, 1)


@pytest.mark.parametrize("projection", EACH)
async def test_an_erasure_creates_no_view_for_a_user_without_one(
    projection: Projection[Any],
) -> None:
    found = await project(
        MemoryViewStore(), Slot(projection), history(UNREADABLE, GONE, UserErased())
    )
    assert (found.entries, found.counters, found.parked) == ({}, {}, {ZOE: 1})


@pytest.mark.parametrize("projection", EACH)
async def test_a_parked_and_erased_user_is_not_a_difference(projection: Projection[Any]) -> None:
    store, slot = MemoryViewStore(), Slot(projection)
    await project(store, slot, history(registered(), UNREADABLE, UserErased()))
    now = LogByStream(history(GONE, UNREADABLE, UserErased()))
    assert not await differences(store.stored_views, now, [slot])
    entries = store.stored(slot).entries
    # As when the view could not be stored without the personal data.
    entries[ZOE] = replace(entries[ZOE], view=None)
    store.stored(slot).counters.clear()
    assert not await differences(store.stored_views, now, [slot])
    entries[ZOE] = replace(entries[ZOE], version=2)
    assert (await differences(store.stored_views, now, [slot])).streams == {ZOE}


@given(log=logs(), random=st.randoms(use_true_random=False))
@pytest.mark.parametrize("projection", EACH)
def test_folding_later_events_onto_an_erased_view_gives_the_same_view(
    projection: Projection[Any], log: list[Recorded[Event]], random: Any
) -> None:
    """A parked stream can therefore be repaired after its person was erased."""
    for events in _of_erased(log).values():
        _assert_repair_gives_the_folded_view(projection, events, random.randrange(1, len(events)))


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("projection", EACH)
def test_the_status_before_a_deletion_does_not_matter_after_an_erasure(
    projection: Projection[Any], cut: int
) -> None:
    events = history(registered(), UserSuspended(), UserDeleted(), UserErased())
    _assert_repair_gives_the_folded_view(projection, events, cut)


def _assert_repair_gives_the_folded_view(
    projection: Projection[Any], events: Sequence[Recorded[Event]], cut: int
) -> None:
    view = _fold(projection, None, events[:cut])
    erased_early = projection.evolve(view, replace(events[-1], version=cut))
    afterwards = [_as_erased(event) for event in events]
    assert _fold(projection, erased_early, afterwards[cut:]) == _fold(projection, None, afterwards)


@pytest.mark.parametrize("projection", EACH)
def test_a_skipped_erasure_still_removes_personal_data(
    projection: Projection[Any],
) -> None:
    events = history(registered(), UserErased())
    entry = fold_page(projection, {}, frozenset(), events, frozenset({(ZOE, 2)})).entries[ZOE]
    assert entry.version == 2
    assert getattr(entry.view, "status", "erased") == "erased"
    assert "Zo" not in str(entry.view)


class Diary(Struct, frozen=True):
    """The view of a projection that does not handle erasures."""

    text: str


def _diary(view: Diary | None, event: Recorded[Event]) -> Diary | None:
    match event.event:
        case UserRegistered(name=str(name)):
            return Diary(name)
        case UserErased():
            raise LookupError("erasures are not handled")
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
async def test_a_view_that_cannot_fold_the_erasure_is_removed(events: tuple[Event, ...]) -> None:
    store = MemoryViewStore()
    found = await project(store, Slot(DIARY), history(registered(), *events))
    assert (found.entries[ZOE].view, found.entries[ZOE].version) == (None, 1)
    assert (found.counters, found.parked) == ({}, {ZOE: 2})


@pytest.mark.parametrize("bad", ["not\x00storable", "uncounted"])
async def test_a_view_that_cannot_be_stored_after_the_erasure_is_removed(bad: str) -> None:
    def evolve(view: Diary | None, event: Recorded[Event]) -> Diary | None:
        return Diary(bad) if isinstance(event.event, UserErased) else _diary(view, event)

    def contribution(view: Diary) -> Mapping[str, int]:
        return {"letters": len(view.text) // (view.text != "uncounted")}

    slot = Slot(replace(DIARY, evolve=evolve, contribution=contribution))
    log = [*history(registered(), UserErased()), recorded(registered(name="Yan"), 1, 9, YAN)]
    found = await project(MemoryViewStore(), slot, log)
    assert (found.entries[ZOE].view, found.entries[YAN].view) == (None, Diary("Yan"))
    assert (found.counters, found.parked) == ({"letters": 3}, {ZOE: 2})


async def test_a_view_that_cannot_be_counted_any_more_is_removed_too() -> None:
    """The code has changed since the view was stored."""
    store, slot = MemoryViewStore(), Slot(DIARY)
    log = history(registered(name="a\x01b"), UserErased())
    await project(store, slot, log[:1])

    def contribution(view: Diary) -> Mapping[str, int]:
        raise LookupError(view.text)

    found = await project(store, Slot(replace(DIARY, contribution=contribution)), log[1:])
    assert (found.entries[ZOE].view, found.position) == (None, 2)


def _of_erased(log: Sequence[Recorded[Event]]) -> dict[UUID, list[Recorded[Event]]]:
    """The events of each stream that ends with an erasure."""
    streams: dict[UUID, list[Recorded[Event]]] = {}
    for event in log:
        streams.setdefault(event.stream, []).append(event)
    return {s: events for s, events in streams.items() if isinstance(events[-1].event, UserErased)}


def _as_erased(recorded: Recorded[Event]) -> Recorded[Event]:
    """As the log returns it after the key is destroyed."""
    event = recorded.event
    return replace(recorded, event=replace(event, **dict.fromkeys(event.personal, ERASED)))


def _fold(projection: Projection[Any], view: Any, events: Sequence[Recorded[Event]]) -> Any:
    for event in events:
        view = projection.evolve(view, event)
    return view
