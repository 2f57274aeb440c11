"""Snapshots on Postgres: the nearest is found, sealed for its row, erased with the person."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace

from application.log.event_log import StreamRange
from infrastructure.event_store.snapshots import QUEUE_BYTES, PostgresSnapshots
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.log.drafts import erasure, recorded_stream, snapshot
from tests.support.log.long_streams import wait_for_snapshots

SECRET = b"Asa Oberg lives here"


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield store


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


async def count(admin: psycopg.AsyncConnection[Any]) -> int:
    row = await (await admin.execute("SELECT count(*) FROM snapshots")).fetchone()
    assert row is not None
    return row[0]


async def test_a_snapshot_is_sealed_and_opens_only_in_its_own_row(
    store: EventStore, admin: psycopg.AsyncConnection[Any]
) -> None:
    events, key = await recorded_stream(store.log, 9)
    store.snapshots.offer([snapshot(events, version, state=SECRET) for version in (4, 8)], key)
    await wait_for_snapshots(store.snapshots)
    stored = await (await admin.execute("SELECT snapshots::text, sealed FROM snapshots")).fetchall()
    assert all(b"Oberg" not in row[0].encode() + row[1] for row in stored)
    for spoiled in (
        "sealed = (SELECT sealed FROM snapshots WHERE version = 4)",
        "position = position - 1",
        "created_at = created_at + interval '1 microsecond'",
        "recorded_at = recorded_at - interval '1 microsecond'",
        "sealed = substr(sealed, 1, 20)",
        "sealed = ''",
    ):
        await admin.execute(f"UPDATE snapshots SET {spoiled} WHERE version = 8")  # pyright: ignore[reportArgumentType, reportCallIssue]
        found = (await store.log.load(events[0].stream, StreamRange(snapshot_format="f"))).snapshot
        assert found is not None
        assert (spoiled, found.version, found.state) == (spoiled, 8, None)
        repaired = snapshot(events, 8, state=SECRET)
        store.snapshots.offer([repaired], key)
        await wait_for_snapshots(store.snapshots)
        assert (
            await store.log.load(repaired.stream, StreamRange(snapshot_format="f"))
        ).snapshot == repaired


async def test_an_erasure_removes_the_snapshots_and_none_is_stored_after_it(
    store: EventStore, admin: psycopg.AsyncConnection[Any]
) -> None:
    events, key = await recorded_stream(store.log, 9)
    others, other_key = await recorded_stream(store.log, 9)
    store.snapshots.offer([snapshot(events, 4), snapshot(events, 8, "another form")], key)
    store.snapshots.offer([snapshot(others, 4)], other_key)
    await wait_for_snapshots(store.snapshots)
    assert await count(admin) == 3
    await store.log.append(erasure(events[0].stream, 9))
    assert await count(admin) == 1
    store.snapshots.offer([snapshot(events, 4)], key)
    await wait_for_snapshots(store.snapshots)
    assert await count(admin) == 1
    store.snapshots.offer([snapshot(others, 8)], other_key)
    await wait_for_snapshots(store.snapshots)
    assert await count(admin) == 2


async def test_no_snapshot_remains_that_is_made_during_an_erasure(
    store: EventStore, admin: psycopg.AsyncConnection[Any]
) -> None:
    histories = [await recorded_stream(store.log, 3) for _ in range(60)]

    async def erase_soon(stream: UUID, number: int) -> None:
        await asyncio.sleep(number % 7 / 1000)
        await store.log.append(erasure(stream, 3))

    async with asyncio.TaskGroup() as group:
        for number, (events, key) in enumerate(histories):
            group.create_task(erase_soon(events[0].stream, number))
            store.snapshots.offer([snapshot(events, 2)], key)
            await asyncio.sleep(0.001)
    await wait_for_snapshots(store.snapshots)
    assert await count(admin) == 0


async def test_a_key_is_rewrapped_while_a_snapshot_of_its_person_is_being_written(
    store: EventStore, database_url: str, admin: psycopg.AsyncConnection[Any]
) -> None:
    events, key = await recorded_stream(store.log, 3)
    async with await psycopg.AsyncConnection.connect(database_url) as writing:
        await writing.execute(
            "INSERT INTO snapshots VALUES ('main', %s, 'f', 2, 2, now(), now(), '')",
            (events[0].stream,),
        )
        await admin.execute("SET lock_timeout = 1000")
        await admin.execute("UPDATE subject_keys SET master_id = 'x', wrapped = ''")
        await admin.execute(
            "UPDATE subject_keys SET master_id = %s, wrapped = %s", (key.master_id, key.wrapped)
        )
    assert await count(admin) == 1


async def test_two_processes_may_make_the_same_snapshot(
    store: EventStore, database_url: str, master_keys: str
) -> None:
    events, key = await recorded_stream(store.log, 9)
    made = [snapshot(events, version) for version in range(1, 9)]
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as other:
        for _ in range(20):
            for each in (store, other):
                each.snapshots.offer(made, key)
            await wait_for_snapshots(store.snapshots)
            await wait_for_snapshots(other.snapshots)
    assert (
        await store.log.load(events[0].stream, StreamRange(snapshot_format="f"))
    ).snapshot == made[-1]


async def test_offered_snapshots_are_stored_before_the_process_ends(
    store: EventStore, database_url: str, admin: psycopg.AsyncConnection[Any]
) -> None:
    events, key = await recorded_stream(store.log, 20)
    async with PostgresSnapshots.open(database_url, store.keys) as snapshots:
        for version in range(1, 21):
            snapshots.offer([snapshot(events, version)], key)
    assert await count(admin) == 20


async def test_the_queue_of_offers_is_limited_and_more_are_dropped(
    store: EventStore, admin: psycopg.AsyncConnection[Any]
) -> None:
    events, key = await recorded_stream(store.log, 9)
    large = [
        replace(snapshot(events, version), state=b" " * (QUEUE_BYTES // 4))
        for version in range(1, 9)
    ]
    for each in large:
        store.snapshots.offer([each], key)
        store.snapshots.offer([each], key)
    assert store.snapshots.waiting == 4
    await wait_for_snapshots(store.snapshots)
    assert await count(admin) == 4


async def test_a_snapshot_that_cannot_be_stored_does_not_stop_later_ones(
    store: EventStore, admin: psycopg.AsyncConnection[Any]
) -> None:
    events, key = await recorded_stream(store.log, 9)
    await admin.execute("ALTER TABLE snapshots ADD CHECK (version <> 4)")
    store.snapshots.offer([snapshot(events, 4)], key)
    store.snapshots.offer([snapshot(events, 8)], key)
    await wait_for_snapshots(store.snapshots)
    found = (await store.log.load(events[0].stream, StreamRange(snapshot_format="f"))).snapshot
    assert found == snapshot(events, 8)


async def test_the_connection_for_snapshots_is_reopened(
    store: EventStore, admin: psycopg.AsyncConnection[Any]
) -> None:
    events, key = await recorded_stream(store.log, 9)
    store.snapshots.offer([snapshot(events, 2)], key)
    await wait_for_snapshots(store.snapshots)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'rollbook snapshots%' AND datname = current_database()"
    )
    for version in (4, 8):
        store.snapshots.offer([snapshot(events, version)], key)
        await wait_for_snapshots(store.snapshots)
    assert (
        await store.log.load(events[0].stream, StreamRange(snapshot_format="f"))
    ).snapshot == snapshot(events, 8)


async def test_no_snapshot_waits_for_a_standby(database_url: str, store: EventStore) -> None:
    async with PostgresSnapshots.open(database_url, store.keys) as snapshots:
        connection = await snapshots._connected()  # pyright: ignore[reportPrivateUsage]
        row = await (await connection.execute("SHOW synchronous_commit")).fetchone()
    assert row == ("off",)
