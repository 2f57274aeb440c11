"""A database that fails over, or whose notification queue is full, under a running process."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from application.errors import OutcomeUnknown, Unavailable
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.event_store.watch import LogMoved, watch_log
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.integration.event_store.test_restored_log import LEAP, end_for_recovery, recovered, run
from tests.support.log.drafts import registration
from tests.support.servers.postgres_backends import kill, terminate_writers


@pytest.fixture
def masters(master_keys: str) -> MasterKeys:
    return MasterKeys.parse(master_keys)


@pytest.fixture
async def store(own_server: EmbeddedPostgres, masters: MasterKeys) -> AsyncIterator[EventStore]:
    async with open_event_store(own_server.url, masters) as store:
        yield store


async def keeps_watching(store: EventStore) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await watch_log(store.database, store.high_water, every=0.05)


async def test_after_a_failover_a_running_process_records_nothing_and_its_watch_ends(
    own_server: EmbeddedPostgres, store: EventStore, masters: MasterKeys
) -> None:
    await store.log.append(registration())
    await keeps_watching(store)
    await end_for_recovery(own_server, "recovery.signal")
    await own_server.start()
    await recovered(own_server.url)
    with pytest.raises(Unavailable):
        await store.log.append(registration())
    with pytest.raises(LogMoved):
        await watch_log(store.database, store.high_water, every=0.05)
    async with open_event_store(own_server.url, masters) as another:
        assert (await another.log.append(registration())).position == LEAP
        assert len((await another.feed.read(0, 10)).events) == 2
    # The same after another process has noticed it and opened a new epoch.
    with pytest.raises(Unavailable):
        await store.log.append(registration())
    with pytest.raises(LogMoved):
        await watch_log(store.database, store.high_water, every=0.05)


async def test_a_server_that_crashed_and_came_back_is_the_same_server(
    own_server: EmbeddedPostgres, store: EventStore
) -> None:
    await store.log.append(registration())
    watching = asyncio.create_task(watch_log(store.database, store.high_water, every=0.05))
    await kill(own_server)
    await asyncio.sleep(0.2)
    await own_server.start()
    assert (await store.log.append(registration())).position < LEAP
    await asyncio.sleep(0.2)
    assert not watching.done()
    watching.cancel()


async def test_an_epoch_that_another_process_opened_ends_this_one(
    database_url: str, masters: MasterKeys
) -> None:
    async with open_event_store(database_url, masters) as store:
        await store.log.append(registration())
        await run(database_url, "UPDATE log SET epoch = epoch + 1")
        await terminate_writers(database_url)
        # The outcome is unknown if the append was on its way to the session when that ended.
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await store.log.append(registration())
        with pytest.raises(LogMoved):
            await watch_log(store.database, store.high_water, every=0.05)


async def test_a_full_notification_queue_is_a_temporary_outage(
    own_server: EmbeddedPostgres, masters: MasterKeys
) -> None:
    try:
        await run(own_server.url, "ALTER SYSTEM SET max_notify_queue_pages = 64")
    except psycopg.errors.UndefinedObject:
        pytest.skip("the queue of a server before Postgres 17 takes 8 GB to fill")
    await own_server.stop()
    await own_server.start()
    async with (
        open_event_store(own_server.url, masters) as store,
        await psycopg.AsyncConnection.connect(own_server.url, autocommit=True) as lagging,
    ):
        await store.log.append(registration())
        await lagging.execute("LISTEN anything")
        async with lagging.transaction():
            await lagging.execute("SELECT 1")
            with pytest.raises(psycopg.errors.ProgramLimitExceeded):
                await fill_queue(own_server.url)
            with pytest.raises(Unavailable):
                await append_many(store)
        # Postgres cleans up when it is asked how full the queue is.
        await run(own_server.url, "SELECT pg_notification_queue_usage()")
        await store.log.append(registration())


async def fill_queue(url: str) -> None:
    notify = "SELECT pg_notify('filler', repeat('x', 7000) || n) FROM generate_series(1, 10) AS n"
    for _ in range(1000):
        await run(url, notify)


async def append_many(store: EventStore) -> None:
    """Append more than the last page of the queue may have room for."""
    for _ in range(200):
        await store.log.append(registration())
