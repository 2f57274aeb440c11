"""The contract of every event log: the Postgres one and its double in memory."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Protocol

import pytest
from uuid_utils.compat import uuid7

from application.context import IdempotencyKey
from application.errors import ClaimTaken, KeySeen, VersionConflict
from application.log.event_log import Draft, EventFeed, EventLog, StreamRange
from application.log.sealed import Sealed
from domain.user.events import PreviousName, UserRenamed
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.log.drafts import change, context, erasure, registration


class LogAndFeed(EventLog, EventFeed, Protocol): ...


class Both:
    def __init__(self, log: EventLog, feed: EventFeed) -> None:
        self.load, self.append, self.holder_of = log.load, log.append, log.holder_of
        self.read, self.head, self.event = feed.read, feed.head, feed.event


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def log(url: str | None, master_keys: str) -> AsyncIterator[LogAndFeed]:
    if url is None:
        yield InMemoryEventLog(uuid7)
        return
    async with open_event_store(url, MasterKeys.parse(master_keys)) as store:
        yield Both(store.log, store.feed)


async def test_appended_events_are_loaded(log: LogAndFeed) -> None:
    appended = await log.append(registration(email="asa@example.com"))
    loaded = await log.load(appended.events[0].stream)
    assert tuple(loaded.events) == appended.events
    assert loaded.events[0].version == 1
    assert loaded.events[0].position == appended.position


async def test_a_range_of_a_stream_gives_only_its_events(log: LogAndFeed) -> None:
    stream = uuid7()
    events = list((await log.append(registration(stream))).events)
    for version in range(1, 6):
        events += (await log.append(change(stream, version))).events
    ranges = {
        StreamRange(after=2): events[2:],
        StreamRange(version=4): events[:4],
        StreamRange(after=2, version=4): events[2:4],
        StreamRange(limit=3): events[:3],
        StreamRange(after=2, limit=3, version=4): events[2:4],
        StreamRange(after=1, at=events[3].recorded_at): events[1:4],
        StreamRange(at=events[0].recorded_at - timedelta(microseconds=1)): [],
        StreamRange(limit=0): [],
        StreamRange(after=6): [],
        StreamRange(snapshot_format="of no snapshot", version=4, limit=3): events[:3],
    }
    for stream_range, expected in ranges.items():
        loaded = await log.load(stream, stream_range)
        assert (stream_range, list(loaded.events), loaded.snapshot) == (
            stream_range,
            expected,
            None,
        )


async def test_a_receipt_is_found_without_loading_events(log: LogAndFeed) -> None:
    draft = registration(key="k")
    await log.append(draft)
    same = IdempotencyKey("k", b"request")
    loaded = await log.load(draft.stream, StreamRange(limit=0), actor="token:t", idempotency=same)
    assert (loaded.events, loaded.receipt and loaded.receipt.version) == ([], 1)


async def test_a_terminal_event_replaces_the_stream_if_a_snapshot_is_accepted(
    log: LogAndFeed,
) -> None:
    draft = registration()
    await log.append(draft)
    last = (await log.append(erasure(draft.stream, 1))).events
    for stream_range in (
        StreamRange(snapshot_format="f"),
        StreamRange(snapshot_format="f", version=1),
        StreamRange(snapshot_format="f", limit=0),
    ):
        assert tuple((await log.load(draft.stream, stream_range)).events) == last
    assert len((await log.load(draft.stream)).events) == 2
    assert len((await log.load(draft.stream, StreamRange(version=1))).events) == 1


async def test_the_last_event_is_loaded_without_opening_it(log: LogAndFeed) -> None:
    draft = registration()
    await log.append(draft)
    key = (await log.load(draft.stream)).key
    await log.append(change(draft.stream, 1, sealed_with=key))
    found = await log.load(draft.stream, StreamRange(last_unopened=True))
    (last,) = found.events
    (*_, opened) = (await log.load(draft.stream)).events
    assert isinstance(last.event, Sealed)
    assert (last.event.type, last.version, last.position, last.event_id) == (
        opened.event.topic,
        2,
        opened.position,
        opened.event_id,
    )
    assert (await log.load(uuid7(), StreamRange(last_unopened=True))).events == []


async def test_a_later_change_is_sealed_with_the_key_of_its_stream(log: LogAndFeed) -> None:
    draft = registration()
    await log.append(draft)
    key = (await log.load(draft.stream)).key
    renamed = UserRenamed(name="Lin", previous=PreviousName(name="Åsa"))
    await log.append(change(draft.stream, 1, renamed, sealed_with=key))
    loaded = await log.load(draft.stream)
    assert loaded.events[1].event == renamed
    assert loaded.key == key


async def test_a_stale_version_is_a_version_conflict(log: LogAndFeed) -> None:
    draft = registration()
    await log.append(draft)
    with pytest.raises(VersionConflict):
        await log.append(registration(draft.stream))
    with pytest.raises(VersionConflict):
        await log.append(change(draft.stream, 2))


async def test_a_claim_is_held_by_one_stream_until_it_is_released(log: LogAndFeed) -> None:
    first = registration(email="one@example.com")
    await log.append(first)
    with pytest.raises(ClaimTaken) as refused:
        await log.append(registration(email="one@example.com"))
    assert refused.value.scope == "email"
    assert await log.holder_of("email", "one@example.com") == first.stream
    moved = change(
        first.stream,
        1,
        take=(("email", "two@example.com"),),
        release=(("email", "one@example.com"),),
    )
    await log.append(moved)
    second = registration(email="one@example.com")
    await log.append(second)
    assert await log.holder_of("email", "one@example.com") == second.stream
    assert await log.holder_of("email", "two@example.com") == first.stream
    assert await log.holder_of("email", "three@example.com") is None


async def test_a_refused_append_leaves_nothing_behind(log: LogAndFeed) -> None:
    await log.append(registration(email="one@example.com"))
    head = await log.head()
    refused = registration(email="one@example.com", key="k")
    with pytest.raises(ClaimTaken):
        await log.append(refused)
    loaded = await log.load(
        refused.stream, actor="token:t", idempotency=IdempotencyKey("k", b"request")
    )
    assert (loaded.events, loaded.receipt) == ([], None)
    assert await log.head() == head


async def test_an_idempotency_key_is_recorded_with_the_change(log: LogAndFeed) -> None:
    draft = registration(key="k")
    appended = await log.append(draft)
    with pytest.raises(KeySeen):
        await log.append(registration(key="k"))
    same = IdempotencyKey("k", b"request")
    receipt = (await log.load(uuid7(), actor="token:t", idempotency=same)).receipt
    assert receipt is not None
    assert (receipt.matches, receipt.status, receipt.stream) == (True, 201, draft.stream)
    assert (receipt.version, receipt.position) == (1, appended.position)
    other = IdempotencyKey("k", b"another request")
    receipt = (await log.load(draft.stream, actor="token:t", idempotency=other)).receipt
    assert receipt is not None
    assert not receipt.matches


async def test_an_idempotency_key_belongs_to_its_actor(log: LogAndFeed) -> None:
    await log.append(registration(key="k"))
    same = IdempotencyKey("k", b"request")
    assert (await log.load(uuid7(), actor="token:other", idempotency=same)).receipt is None


async def test_a_command_that_changes_nothing_records_only_its_receipt(log: LogAndFeed) -> None:
    draft = registration()
    first = await log.append(draft)
    nothing = Draft(
        kind="user", stream=draft.stream, after_version=1, events=(), context=context("k")
    )
    appended = await log.append(nothing)
    assert (appended.events, appended.position) == ((), first.position)
    with pytest.raises(KeySeen):
        await log.append(nothing)


async def test_a_receipt_for_a_stale_version_is_refused(log: LogAndFeed) -> None:
    draft = registration()
    await log.append(draft)
    await log.append(change(draft.stream, 1))
    stale = Draft(
        kind="user", stream=draft.stream, after_version=1, events=(), context=context("k")
    )
    with pytest.raises(VersionConflict):
        await log.append(stale)


async def test_the_feed_gives_all_events_after_a_position_in_order(log: LogAndFeed) -> None:
    drafts = [registration() for _ in range(30)]
    await asyncio.gather(*(log.append(draft) for draft in drafts))
    after, seen = 0, list[int]()
    while (page := await log.read(after, 7)).events:
        seen += [recorded.position for recorded in page.events]
        after = page.reached
    assert seen == sorted(set(seen))
    assert len(seen) == len(drafts)
    assert after == await log.head()
    assert (await log.read(after, 7)).reached == after


async def test_times_rise_with_positions(log: LogAndFeed) -> None:
    await asyncio.gather(*(log.append(registration()) for _ in range(30)))
    times = [recorded.recorded_at for recorded in (await log.read(0, 100)).events]
    assert times == sorted(set(times))


async def test_an_event_is_found_by_its_id(log: LogAndFeed) -> None:
    appended = await log.append(registration())
    assert await log.event(appended.events[0].event_id) == appended.events[0]
    assert await log.event(uuid7()) is None


async def test_times_are_utc(log: LogAndFeed) -> None:
    appended = await log.append(registration())
    for recorded in (*appended.events, *(await log.read(0, 1)).events):
        assert recorded.recorded_at.tzname() == "UTC"
