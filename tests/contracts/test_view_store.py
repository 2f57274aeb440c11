"""The contract of every view store: it writes a page with its checkpoint, completely or not at all."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import psycopg
import pytest
from msgspec import Struct

from application.log.follower import NotLeading
from application.projector.view_store import (
    Changes,
    Entry,
    ParkedEvent,
    Slot,
    Unstorable,
    ViewStore,
    ViewWriter,
)
from domain.event import Event, Recorded
from infrastructure.database import Database
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.projector.store import PostgresViewStore
from projections.projection import Key, Projection, Words
from tests.support.doubles.view_store import MemoryViewStore
from tests.support.views.compare_views import snapshot, views_in
from tests.support.views.histories import YAN, ZOE
from tests.support.views.replay import ReadSlot


class Sample(Struct, frozen=True, kw_only=True):
    """A view with every type of field."""

    id: UUID
    text: str
    number: int = 0
    share: float = 0.5
    flag: bool = True
    choice: Literal["a", "b"] = "a"
    at: datetime = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    bag: dict[str, Any] | None = None
    items: list[int] = []
    other: UUID | None = None
    version: int = 1


def _unused(view: Sample | None, recorded: Recorded[Event]) -> Sample | None:
    raise AssertionError


SAMPLES: Final = Projection(
    name="samples",
    kinds=frozenset({"user"}),
    view=Sample,
    evolve=_unused,
    contribution=lambda view: {"all": 1},
    keys=(Key("text_key", lambda view: view.text.lower()),),
    words=(Words("words", lambda view: view.text.split()),),
    indexes=(("text_key", "id"), ("at",)),
)
SLOT: Final = Slot(SAMPLES)


_IDS: Final = [f"018f3f5e-0000-7000-8000-{n:012}" for n in range(9)]


class Stores(Struct):
    """The store under test, its stored views, and a function that moves a checkpoint."""

    store: ViewStore
    stored_views: ReadSlot
    move: Callable[[Slot[Any], int], Awaitable[None]]


def memory_stores() -> Stores:
    store = MemoryViewStore()

    async def move(slot: Slot[Any], position: int) -> None:
        store.stored(slot).position = position

    return Stores(store, store.stored_views, move)


def postgres_stores(database: Database) -> Stores:
    async def move(slot: Slot[Any], position: int) -> None:
        async with await psycopg.AsyncConnection.connect(database.url) as connection:
            await connection.execute(
                "UPDATE checkpoints SET position = %s WHERE projection = %s",
                (position, slot.projection.name),
            )

    return Stores(PostgresViewStore(database), views_in(database.url), move)


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def stores(url: str | None) -> AsyncGenerator[Stores]:
    if url is None:
        yield memory_stores()
        return
    await ensure_views(url, [SAMPLES])
    async with Database.open(url) as database:
        yield postgres_stores(database)


def entry(view: Sample | None, version: int = 1) -> Entry[Sample]:
    return Entry(view, version, bytes([version]) * 16)


def sample(stream: UUID = ZOE, **fields: Any) -> Sample:
    given: dict[str, Any] = {"id": stream, "text": "Zoë & co", **fields}
    return Sample(**given)


async def write(writer: ViewWriter[Sample], reached: int, **changes: Any) -> None:
    async with writer.page(reached, ()) as page:
        await page.commit(Changes[Sample](**changes))


@asynccontextmanager
async def leader(stores: Stores, slot: Slot[Sample] = SLOT) -> AsyncGenerator[ViewWriter[Sample]]:
    async with stores.store.lead(slot) as writer:
        yield writer


async def test_a_new_slot_is_at_the_start_of_the_log_and_empty(stores: Stores) -> None:
    async with leader(stores) as writer:
        assert writer.position == 0
        async with writer.page(5, [ZOE]) as page:
            assert (dict(page.entries), set(page.parked)) == ({}, set())


@pytest.mark.parametrize(
    "view",
    [
        sample(bag={"a": [1, {"b": None}], "ü": "ß"}, items=[1, 2], other=YAN, number=-(2**62)),
        sample(choice="b", flag=False, share=0.1, text='it\'s \\x "quoted" 😀'),
        None,
    ],
)
async def test_views_are_read_as_they_were_stored(stores: Stores, view: Sample | None) -> None:
    async with leader(stores) as writer:
        await write(writer, 5, entries={ZOE: entry(view)})
        async with writer.page(6, [ZOE, YAN]) as page:
            assert dict(page.entries) == {ZOE: entry(view)}
    assert (await snapshot(stores.stored_views, SLOT)).entries == {ZOE: entry(view)}


async def test_a_view_is_replaced_as_a_whole(stores: Stores) -> None:
    async with leader(stores) as writer:
        await write(writer, 5, entries={ZOE: entry(sample(bag={"a": 1})), YAN: entry(None)})
        later = {ZOE: entry(None, 2), YAN: entry(sample(YAN, version=2), 2)}
        await write(writer, 6, entries=later)
    assert (await snapshot(stores.stored_views, SLOT)).entries == later


async def test_the_checkpoint_moves_with_the_page_and_is_durable(stores: Stores) -> None:
    async with leader(stores) as writer:
        await write(writer, 5)
        assert writer.position == 5
    async with leader(stores) as writer:
        assert writer.position == 5
    assert (await snapshot(stores.stored_views, SLOT)).position == 5


async def test_a_page_that_is_not_committed_writes_nothing(stores: Stores) -> None:
    async with leader(stores) as writer:
        with pytest.raises(LookupError):
            async with writer.page(5, [ZOE]):
                raise LookupError
        assert writer.position == 0
        await write(writer, 4)
    assert (await snapshot(stores.stored_views, SLOT)).position == 4


async def test_counters_are_added_up(stores: Stores) -> None:
    async with leader(stores) as writer:
        await write(writer, 1, counters={"a": 2, "b": 1})
        await write(writer, 2, counters={"a": 3, "b": -1})
    assert (await snapshot(stores.stored_views, SLOT)).counters == {"a": 5}


async def test_parked_events_are_stored_once_and_visible_to_later_pages(stores: Stores) -> None:
    third = ParkedEvent(stream=ZOE, version=3, position=7, event_id=UUID(int=3), error="first")
    fourth = ParkedEvent(stream=ZOE, version=4, position=8, event_id=UUID(int=4), error="queued")
    async with leader(stores) as writer:
        await write(writer, 7, parked=[third])
        await write(writer, 8, parked=[third, fourth])
        async with writer.page(9, [YAN, ZOE]) as page:
            assert set(page.parked) == {ZOE}
    assert (await snapshot(stores.stored_views, SLOT)).parked == {ZOE: 3}


async def test_a_view_that_cannot_be_stored_rolls_back_its_page(stores: Stores) -> None:
    bad = {YAN: entry(sample(YAN)), ZOE: entry(sample(text="a\x00b"))}
    async with leader(stores) as writer:
        with pytest.raises(Unstorable) as refusal:
            await write(writer, 5, entries=bad, counters={"a": 1})
        assert "a\x00b" not in refusal.value.reason
        await write(writer, 6, entries={YAN: bad[YAN]})
    found = await snapshot(stores.stored_views, SLOT)
    assert (set(found.entries), found.counters, found.position) == ({YAN}, {}, 6)


async def test_a_leader_whose_checkpoint_was_moved_writes_nothing(stores: Stores) -> None:
    async with leader(stores) as writer:
        await write(writer, 5, entries={ZOE: entry(sample())})
        await stores.move(SLOT, 9)
        with pytest.raises(NotLeading):
            await write(writer, 10, entries={ZOE: entry(sample(text="stale"), 2)})
    found = await snapshot(stores.stored_views, SLOT)
    assert (found.position, found.entries) == (9, {ZOE: entry(sample())})


async def test_only_one_leads_a_slot_and_the_next_one_waits(stores: Stores) -> None:
    is_leading = asyncio.Event()

    async def wait_to_lead() -> int:
        async with leader(stores) as writer:
            is_leading.set()
            return writer.position

    async with leader(stores) as writer:
        successor = asyncio.create_task(wait_to_lead())
        await asyncio.sleep(0.7)
        assert not is_leading.is_set()
        await write(writer, 5)
    assert await asyncio.wait_for(successor, 5) == 5
