"""The sealed feed on a real server: all events, without a key and without personal data."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from uuid_utils.compat import uuid7

from application.errors import PositionGone
from application.log.envelope import envelope
from application.log.event_log import Draft, Unreadable
from application.log.sealed import Sealed, sealed_envelope
from domain.event import Event
from domain.user.events import (
    PreviousName,
    PreviousRole,
    UserErased,
    UserRegistered,
    UserRenamed,
    UserRoleChanged,
    UserSuspended,
)
from infrastructure.event_store.feed import PostgresSealedFeed
from infrastructure.event_store.identity import LogBreak
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.log.drafts import context
from tests.support.views.directory import execute

LOG = UUID("018f0000-0000-7000-8000-000000000001")
ADA = UserRegistered(
    name="Ada Lovelace", email="ada@example.org", role="member", attributes={"town": "London"}
)
RENAMED = UserRenamed(name="Ada King", previous=PreviousName("Ada Lovelace"))
PROMOTED = UserRoleChanged(role="owner", previous=PreviousRole("member"))
PERSONAL = ("Ada", "King", "Lovelace", "ada@example.org", "London", "private")


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield store


@pytest.fixture
def feed(store: EventStore) -> PostgresSealedFeed:
    return PostgresSealedFeed(store.database)


async def record(store: EventStore, *events: Event, erase: bool = False) -> UUID:
    stream = uuid7()
    await store.log.append(
        Draft(kind="user", stream=stream, after_version=0, events=events, context=context())
    )
    if erase:
        erased = Draft(
            kind="user",
            stream=stream,
            after_version=len(events),
            events=(UserErased(),),
            context=context(),
            destroy_key=True,
        )
        await store.log.append(erased)
    return stream


async def envelopes(feed: PostgresSealedFeed) -> list[dict[str, Any]]:
    """What the relay would send of each event."""
    found: list[dict[str, Any]] = []
    for recorded in (await feed.read(0, 100)).events:
        assert isinstance(recorded.event, Sealed)
        sent = msgspec.json.encode(sealed_envelope(recorded, recorded.event, LOG))
        found.append(json.loads(sent))
    return found


async def test_personal_fields_are_sealed_and_the_others_are_there(
    store: EventStore, feed: PostgresSealedFeed
) -> None:
    stream = await record(store, ADA, RENAMED, PROMOTED, UserSuspended(reason="private"))
    registered, renamed, promoted, suspended = await envelopes(feed)
    for sent in (registered, renamed, suspended):
        assert sent["personal"] == "sealed"
        assert sent["data"]["sealed"]["key"] == str(stream)
    assert registered["data"].keys() == {"role", "sealed"}
    assert registered["data"]["role"] == "member"
    assert registered["dataschema"] == "urn:rollbook:user.registered:2"
    assert renamed["data"].keys() == suspended["data"].keys() == {"sealed"}
    assert promoted["personal"] == "open"
    assert promoted["data"] == {"role": "owner", "previous": {"role": "member"}}


async def test_nothing_personal_can_be_read_in_what_is_sent(
    store: EventStore, feed: PostgresSealedFeed
) -> None:
    await record(store, ADA, RENAMED, UserSuspended(reason="private"))
    sent = json.dumps(await envelopes(feed))
    assert not [each for each in PERSONAL if each in sent]


async def test_the_ciphertext_is_the_stored_one(
    store: EventStore, feed: PostgresSealedFeed, database_url: str
) -> None:
    await record(store, ADA)
    (registered,) = await envelopes(feed)
    stored = json.loads((await execute(database_url, "SELECT state FROM stored_events"))[0][0])
    expected = stored["sealed"].replace("+", "-").replace("/", "_")
    assert registered["data"]["sealed"]["value"] == expected


async def test_the_events_of_an_erased_person_are_the_same_sealed_or_opened(
    store: EventStore, feed: PostgresSealedFeed
) -> None:
    await record(store, ADA, RENAMED, PROMOTED, UserSuspended(reason="private"), erase=True)
    opened = [
        json.loads(msgspec.json.encode(envelope(recorded, LOG, opened=True)))
        for recorded in (await store.feed.read(0, 100)).events
    ]
    assert await envelopes(feed) == opened
    assert [sent["personal"] for sent in opened] == ["erased", "erased", "open", "erased", "open"]


async def test_pages_and_events_are_those_of_the_log(
    store: EventStore, feed: PostgresSealedFeed
) -> None:
    for _ in range(5):
        await record(store, ADA, PROMOTED)
    after = 0
    for _ in range(5):
        mine, whole = await feed.read(after, 3), await store.feed.read(after, 3)
        assert mine.reached == whole.reached
        for sealed, opened in zip(mine.events, whole.events, strict=True):
            for member in ("kind", "stream", "version", "position", "event_id", "recorded_at"):
                assert getattr(sealed, member) == getattr(opened, member)
        after = mine.reached


async def test_an_old_event_is_sent_in_the_present_schema(
    store: EventStore, feed: PostgresSealedFeed, database_url: str
) -> None:
    await record(store, ADA)
    await rewrite(database_url, "- 'v'")
    (registered,) = await envelopes(feed)
    assert registered["dataschema"] == "urn:rollbook:user.registered:2"
    assert registered["data"].keys() == {"role", "sealed"}


async def test_an_event_of_a_newer_release_is_sent_as_it_was_stored(
    store: EventStore, feed: PostgresSealedFeed, database_url: str
) -> None:
    await record(store, ADA)
    await rewrite(database_url, """|| '{"v": 3, "data": {"role": "x", "since": 7}}'""")
    (newer,) = await envelopes(feed)
    assert newer["dataschema"] == "urn:rollbook:user.registered:3"
    assert newer["data"].keys() == {"role", "since", "sealed"}
    await execute(database_url, "UPDATE stored_events SET topic = 'user.from_the_future'")
    (unknown,) = await envelopes(feed)
    assert (unknown["type"], unknown["personal"]) == ("user.from_the_future", "sealed")
    assert unknown["data"].keys() == {"role", "since", "sealed"}
    await execute(database_url, "DELETE FROM subject_keys")
    (erased,) = await envelopes(feed)
    assert (erased["personal"], erased["data"]) == ("erased", {"role": "x", "since": 7})


@pytest.mark.parametrize("state", [b"", b"\xff", b"[]", b"{}", b'{"data": {"role": 7}}'])
async def test_an_unreadable_event_does_not_stop_later_ones(
    store: EventStore, feed: PostgresSealedFeed, database_url: str, state: bytes
) -> None:
    await record(store, ADA, PROMOTED)
    await execute(
        database_url, "UPDATE stored_events SET state = %s WHERE originator_version = 1", state
    )
    broken, promoted = (await feed.read(0, 100)).events
    assert isinstance(broken.event, Unreadable)
    assert broken.event.type == "user.registered"
    assert broken.event.reason.startswith("MalformedState: user.registered: ")
    assert isinstance(promoted.event, Sealed)


async def test_a_position_that_a_restore_removed_is_refused(store: EventStore) -> None:
    feed = PostgresSealedFeed(store.database, (LogBreak(last_valid=5, first_new=10**12),))
    with pytest.raises(PositionGone) as gone:
        await feed.read(6, 10)
    assert gone.value.resume_after == 5


async def rewrite(url: str, change: str) -> None:
    """Change the stored form of all events with a jsonb operator."""
    form = "convert_from(state, 'UTF8')::jsonb"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        statement = f"UPDATE stored_events SET state = convert_to(({form} {change})::text, 'UTF8')"
        await connection.execute(statement.encode())
