"""The contract of snapshots, on Postgres and in memory: usable ones are loaded, erased ones gone."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from uuid_utils.compat import uuid7

from application.errors import VersionConflict
from application.log.event_log import DraftSnapshot, EventLog, StreamRange, StreamSnapshot
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.log.drafts import (
    change,
    erasure,
    recorded_stream,
    registration,
    snapshot,
    store_snapshots,
)


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def log(url: str | None, master_keys: str) -> AsyncIterator[EventLog]:
    if url is None:
        yield InMemoryEventLog(uuid7)
        return
    async with open_event_store(url, MasterKeys.parse(master_keys)) as store:
        yield store.log


async def found(
    log: EventLog, stream_range: StreamRange, stream_of: StreamSnapshot
) -> StreamSnapshot | None:
    return (await log.load(stream_of.stream, stream_range)).snapshot


async def test_the_newest_usable_snapshot_is_loaded_with_the_events_after_it(
    log: EventLog,
) -> None:
    events, key = await recorded_stream(log, 12)
    saved = {version: snapshot(events, version, state=b"%d" % version) for version in (4, 8)}
    await store_snapshots(log, [*saved.values()], key)
    await store_snapshots(log, [snapshot(events, 10, "another form")], key)
    before_8 = events[7].recorded_at - timedelta(microseconds=1)
    for stream_range, version, following in (
        (StreamRange(snapshot_format="f"), 8, range(9, 13)),
        (StreamRange(snapshot_format="f", version=8), 8, range(0)),
        (StreamRange(snapshot_format="f", version=7), 4, range(5, 8)),
        (StreamRange(snapshot_format="f", version=3), None, range(1, 4)),
        (StreamRange(snapshot_format="f", before=8), 4, range(5, 13)),
        (StreamRange(snapshot_format="f", before=4), None, range(1, 13)),
        (StreamRange(snapshot_format="f", at=events[7].recorded_at), 8, range(0)),
        (StreamRange(snapshot_format="f", at=before_8), 4, range(5, 8)),
        (StreamRange(snapshot_format="f", version=6, limit=1), 4, range(5, 6)),
        (StreamRange(snapshot_format="f", version=3, limit=2), None, range(1, 3)),
        (StreamRange(snapshot_format="of a later release"), None, range(1, 13)),
        (StreamRange(), None, range(1, 13)),
    ):
        loaded = await log.load(events[0].stream, stream_range)
        assert (stream_range, loaded.snapshot) == (
            stream_range,
            saved[version] if version else None,
        )
        assert [event.version for event in loaded.events] == [*following]
        assert loaded.key == key


async def test_a_snapshot_replaces_the_one_of_the_same_version(log: EventLog) -> None:
    events, key = await recorded_stream(log, 3)
    for state in (b"1", b"2"):
        made = snapshot(events, 2, state=state)
        await store_snapshots(log, [made], key)
        assert await found(log, StreamRange(snapshot_format="f"), made) == made


async def test_an_append_stores_the_snapshot_of_its_last_event(log: EventLog) -> None:
    events, key = await recorded_stream(log, 3)
    stream = events[0].stream
    draft = change(stream, 3, sealed_with=key, snapshot=DraftSnapshot("f", b"of version 5"))
    two = change(stream, 3, *draft.events * 2, sealed_with=key, snapshot=draft.snapshot)
    appended = await log.append(two)
    loaded = await log.load(stream, StreamRange(snapshot_format="f"))
    every = [*events, *appended.events]
    assert (loaded.snapshot, loaded.events) == (snapshot(every, 5, state=b"of version 5"), [])


async def test_a_refused_append_stores_no_snapshot(log: EventLog) -> None:
    events, key = await recorded_stream(log, 3)
    stream = events[0].stream
    with pytest.raises(VersionConflict):
        await log.append(change(stream, 2, sealed_with=key, snapshot=DraftSnapshot("f", b"")))
    assert (await log.load(stream, StreamRange(snapshot_format="f"))).snapshot is None


async def test_a_snapshot_without_a_key_to_seal_it_is_left_out(log: EventLog) -> None:
    draft = registration()
    await log.append(draft)
    await log.append(change(draft.stream, 1, snapshot=DraftSnapshot("f", b"")))
    loaded = await log.load(draft.stream, StreamRange(snapshot_format="f"))
    assert (loaded.snapshot, len(loaded.events)) == (None, 2)


async def test_snapshots_are_removed_with_the_person_and_refused_afterwards(
    log: EventLog,
) -> None:
    events, key = await recorded_stream(log, 9)
    made = snapshot(events, 4)
    await store_snapshots(log, [made, snapshot(events, 8)], key)
    await log.append(erasure(made.stream, 9))
    await store_snapshots(log, [made], key)
    for stream_range in (
        StreamRange(snapshot_format="f"),
        StreamRange(snapshot_format="f", version=5),
    ):
        assert await found(log, stream_range, made) is None
