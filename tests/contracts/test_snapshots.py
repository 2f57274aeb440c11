"""The contract of snapshots, on Postgres and in memory: usable ones are loaded, erased ones gone."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from uuid_utils.compat import uuid7

from application.log.event_log import EventLog, StreamKey, StreamRange, StreamSnapshot
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.log.drafts import erasure, recorded_stream, snapshot
from tests.support.log.long_streams import wait_for_snapshots


class Memory:
    def __init__(self) -> None:
        self.log = InMemoryEventLog(uuid7)

    async def save(self, snapshots: Sequence[StreamSnapshot], key: StreamKey) -> None:
        self.log.offer(snapshots, key)


class Postgres:
    def __init__(self, store: EventStore) -> None:
        self.log = store.log
        self._snapshots = store.snapshots

    async def save(self, snapshots: Sequence[StreamSnapshot], key: StreamKey) -> None:
        self._snapshots.offer(snapshots, key)
        await wait_for_snapshots(self._snapshots)


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def store(url: str | None, master_keys: str) -> AsyncIterator[Memory | Postgres]:
    if url is None:
        yield Memory()
        return
    async with open_event_store(url, MasterKeys.parse(master_keys)) as store:
        yield Postgres(store)


async def found(
    log: EventLog, stream_range: StreamRange, stream_of: StreamSnapshot
) -> StreamSnapshot | None:
    return (await log.load(stream_of.stream, stream_range)).snapshot


async def test_the_newest_usable_snapshot_is_loaded_with_the_events_after_it(
    store: Memory | Postgres,
) -> None:
    events, key = await recorded_stream(store.log, 12)
    saved = {version: snapshot(events, version, state=b"%d" % version) for version in (4, 8)}
    await store.save(list(saved.values()), key)
    await store.save([snapshot(events, 10, "another form")], key)
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
        loaded = await store.log.load(events[0].stream, stream_range)
        assert (stream_range, loaded.snapshot) == (
            stream_range,
            saved[version] if version else None,
        )
        assert [event.version for event in loaded.events] == [*following]
        assert loaded.key == key


async def test_a_snapshot_replaces_the_one_of_the_same_version(store: Memory | Postgres) -> None:
    events, key = await recorded_stream(store.log, 3)
    for state in (b"1", b"2"):
        made = snapshot(events, 2, state=state)
        await store.save([made], key)
        assert await found(store.log, StreamRange(snapshot_format="f"), made) == made


async def test_snapshots_are_removed_with_the_person_and_refused_afterwards(
    store: Memory | Postgres,
) -> None:
    events, key = await recorded_stream(store.log, 9)
    made = snapshot(events, 4)
    await store.save([made, snapshot(events, 8)], key)
    await store.log.append(erasure(made.stream, 9))
    await store.save([made], key)
    for stream_range in (
        StreamRange(snapshot_format="f"),
        StreamRange(snapshot_format="f", version=5),
    ):
        assert await found(store.log, stream_range, made) is None
