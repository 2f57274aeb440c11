"""Searching the log: each search finds what a plain walk over the events would find."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.errors import PositionGone
from application.log.event_log import EventLog, FeedPage, Unreadable
from application.log.search import EventFilter, SearchableFeed
from domain.event import Event, Recorded
from domain.user.events import PreviousName, UserRenamed
from infrastructure.event_store.feed import PostgresEventFeed
from infrastructure.event_store.identity import LogBreak
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.log.drafts import change, erasure, registration
from tests.support.views.directory import execute

UNREADABLE = """
UPDATE stored_events SET topic = 'user.later' WHERE kind = 'token' OR originator_version = 3"""
USERS = [uuid7() for _ in range(3)]
LIMITS = (1, 2, 100)
# A search examines so few events that most of them end before the head.
LOOK = 6


def wanted(*types: str, user: UUID | None = None) -> EventFilter:
    return EventFilter.parse(types, user=user, every_kind=True)


FILTERS = [
    wanted(*types, user=user)
    for types in [
        (),
        ("user.*",),
        ("user.renamed",),
        ("user.renamed", "user.erased", "no.such"),
        ("token.*",),
        ("user.later", "user.registered"),
        ("no.such",),
    ]
    for user in [None, *USERS[:2]]
]


async def fill(log: EventLog) -> None:
    """Three users, of whom one is erased and one has most of the events, and two tokens."""
    for user in USERS:
        await log.append(registration(user))
    await log.append(replace(change(uuid7(), 0), kind="token"))
    key = (await log.load(USERS[0])).key
    for version in range(1, 13):
        renamed = UserRenamed(name=f"Ada {version}", previous=PreviousName("Ada"))
        events = (renamed,) if version % 4 == 0 else ()
        await log.append(change(USERS[0], version, *events, sealed_with=key))
    await log.append(erasure(USERS[1], 1))
    await log.append(replace(change(uuid7(), 0), kind="token"))
    await log.append(change(USERS[2], 1))


def difference(
    found: FeedPage, events: Sequence[Recorded[Event]], asked: EventFilter, after: int, limit: int
) -> str:
    """Why the answer of a search is wrong; empty if it is right."""
    later = [each for each in events if each.position > after]
    examined = [each for each in later if each.position <= found.reached]
    expected = [each for each in examined if asked.matches(each)]
    if list(found.events) != expected or len(expected) > limit:
        return f"found {found.events}, not {expected}"
    if later and found.reached not in [each.position for each in later]:
        return f"reached {found.reached}, which is no later event"
    if not later and found.reached != after:
        return f"reached {found.reached} from the head {after}"
    return ""


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def feed(
    url: str | None, master_keys: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SearchableFeed]:
    if url is None:
        log = InMemoryEventLog(uuid7)
        await fill(log)
        yield log
        return
    monkeypatch.setattr("infrastructure.event_store.search_statements._LOOK", LOOK)
    async with open_event_store(url, MasterKeys.parse(master_keys)) as store:
        await fill(store.log)
        await execute(url, UNREADABLE)
        yield store.feed


async def wrong(feed: SearchableFeed) -> list[Any]:
    """All wrong answers, for each filter, limit and position."""
    events = (await feed.read(0, 1000)).events
    positions = [0, *(each.position for each in events), events[-1].position + 5]
    return [
        (asked, after, limit, reason)
        for asked in FILTERS
        for limit in LIMITS
        for after in positions
        if (
            reason := difference(
                await feed.search(after, asked, limit), events, asked, after, limit
            )
        )
    ]


async def test_a_search_from_any_position_finds_the_matching_events_that_it_passes(
    feed: SearchableFeed,
) -> None:
    assert await wrong(feed) == []


@pytest.fixture
async def store(
    database_url: str, master_keys: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EventStore]:
    monkeypatch.setattr("infrastructure.event_store.search_statements._LOOK", LOOK)
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        await fill(store.log)
        await execute(database_url, UNREADABLE)
        yield store


async def test_an_event_that_cannot_be_read_is_found_by_its_stored_type(store: EventStore) -> None:
    (found,) = (await store.feed.search(0, wanted("user.later", user=USERS[0]), 10)).events
    assert isinstance(found.event, Unreadable)
    assert (found.event.type, found.stream, found.version) == ("user.later", USERS[0], 3)


async def test_holes_between_positions_end_no_search(store: EventStore, database_url: str) -> None:
    # Moved apart from the end on, so that no position is taken.
    moved = "UPDATE stored_events SET notification_id = %s WHERE notification_id = %s"
    for position in range(await store.feed.head(), 0, -1):
        await execute(database_url, moved, position * position, position)
    assert await wrong(store.feed) == []


async def test_no_search_ends_at_a_position_that_a_restore_removed(
    store: EventStore, database_url: str
) -> None:
    await execute(
        database_url,
        "UPDATE stored_events SET notification_id = notification_id + 1000000000000"
        " WHERE notification_id > 8",
    )
    breaks = (LogBreak(last_valid=8, first_new=10**12),)
    feed = PostgresEventFeed(store.database, store.mapper, breaks)
    assert await wrong(feed) == []
    with pytest.raises(PositionGone):
        await feed.search(9, wanted(), 1)
