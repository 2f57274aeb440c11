"""Snapshots on Postgres: the nearest is found, sealed for its row, erased with the person."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.log.event_log import DraftSnapshot, StreamKey, StreamRange
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.jobs.rotating import NEW_FIRST, result, run_rotation
from tests.support.log.drafts import (
    change,
    erasure,
    recorded_stream,
    snapshot,
    store_snapshots,
)

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
    others, other_key = await recorded_stream(store.log, 9)
    made = [snapshot(events, version, state=SECRET) for version in (4, 8)]
    await store_snapshots(store.log, made, key)
    await store_snapshots(store.log, [snapshot(others, 8, state=SECRET)], other_key)
    stored = await (await admin.execute("SELECT snapshots::text, sealed FROM snapshots")).fetchall()
    assert all(b"Oberg" not in row[0].encode() + row[1] for row in stored)
    spoil = "UPDATE snapshots SET sealed = {} WHERE version = 8 AND stream = %s"
    for sealed in (
        "(SELECT sealed FROM snapshots WHERE version = 4)",
        f"(SELECT sealed FROM snapshots WHERE stream = '{others[0].stream}')",
        "substr(sealed, 1, 20)",
        "''",
    ):
        await admin.execute(spoil.format(sealed), (events[0].stream,))  # pyright: ignore[reportArgumentType, reportCallIssue]
        found = (await store.log.load(events[0].stream, StreamRange(snapshot_format="f"))).snapshot
        assert found is not None
        assert (sealed, found.version, found.state) == (sealed, 8, None)
        await store_snapshots(store.log, made[1:], key)
        loaded = await store.log.load(events[0].stream, StreamRange(snapshot_format="f"))
        assert loaded.snapshot == made[1]


async def test_an_erasure_removes_the_snapshots_and_none_is_stored_after_it(
    store: EventStore, admin: psycopg.AsyncConnection[Any]
) -> None:
    events, key = await recorded_stream(store.log, 9)
    others, other_key = await recorded_stream(store.log, 9)
    made = [snapshot(events, 4), snapshot(events, 8, "another form")]
    await store_snapshots(store.log, made, key)
    await store_snapshots(store.log, [snapshot(others, 4)], other_key)
    assert await count(admin) == 3
    await store.log.append(erasure(events[0].stream, 9))
    assert await count(admin) == 1
    await store_snapshots(store.log, made, key)
    assert await count(admin) == 1


async def test_no_snapshot_remains_that_is_stored_during_an_erasure(
    store: EventStore, admin: psycopg.AsyncConnection[Any]
) -> None:
    histories = [await recorded_stream(store.log, 3) for _ in range(60)]
    async with asyncio.TaskGroup() as group:
        for events, key in histories:
            made = [snapshot(events, 2)]
            group.create_task(store_snapshots(store.log, made, key))
            group.create_task(store.log.append(erasure(events[0].stream, 3)))
            group.create_task(store_snapshots(store.log, made, key))
    assert await count(admin) == 0


async def test_commands_of_one_batch_store_their_own_snapshots(
    store: EventStore, admin: psycopg.AsyncConnection[Any]
) -> None:
    histories = [await recorded_stream(store.log, 3) for _ in range(20)]

    async def change_it(stream: UUID, key: StreamKey, state: bytes | None) -> None:
        made = DraftSnapshot("f", state) if state is not None else None
        await store.log.append(change(stream, 3, sealed_with=key, snapshot=made))

    await asyncio.gather(
        *(
            change_it(events[0].stream, key, str(number).encode() if number % 2 else None)
            for number, (events, key) in enumerate(histories)
        )
    )
    assert await count(admin) == 10
    for number, (events, _) in enumerate(histories):
        loaded = await store.log.load(events[0].stream, StreamRange(snapshot_format="f"))
        last = (await store.log.load(events[0].stream)).events[-1]
        found = loaded.snapshot
        if number % 2:
            assert found is not None
            assert found.state == str(number).encode()
            assert (found.version, found.position) == (4, last.position)
            assert found.recorded_at == last.recorded_at
        else:
            assert found is None


async def test_a_snapshot_is_rewritten_after_its_persons_key_was_rewrapped(
    store: EventStore, database_url: str
) -> None:
    events, key = await recorded_stream(store.log, 3)
    await store_snapshots(store.log, [snapshot(events, 2)], key)
    async with open_event_store(database_url, MasterKeys.parse(NEW_FIRST)) as newer:
        assert result(await run_rotation(database_url))["complete"]
        rewrapped = (await newer.log.load(events[0].stream)).key
        assert rewrapped is not None
        assert rewrapped != key
        for sealed_with in (key, rewrapped):
            await store_snapshots(newer.log, [snapshot(events, 3)], sealed_with)
            loaded = await newer.log.load(events[0].stream, StreamRange(snapshot_format="f"))
            assert loaded.snapshot == snapshot(events, 3)
