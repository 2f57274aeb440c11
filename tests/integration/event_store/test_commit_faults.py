"""Sessions that end during COMMIT: the commit is on the disk, but no client got an answer."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.log.drafts import change, registration
from tests.support.log.faults import fault_run
from tests.support.servers.postgres import scaled
from tests.support.servers.postgres_backends import kill, terminate_writers
from tests.support.views.directory import execute

CALLERS = 16
IN_COMMIT = """
SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, 'rollbook writer') AND wait_event = 'SyncRep'"""


@pytest.fixture
async def store(own_server: EmbeddedPostgres, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(own_server.url, MasterKeys.parse(master_keys)) as store:
        yield store


@asynccontextmanager
async def commits_that_take_long(url: str) -> AsyncGenerator[None]:
    """Each commit is on the disk at once, and then waits for a replica that does not exist."""
    await replicate(url, "'nobody'")
    try:
        yield
    finally:
        await replicate(url, "''")


async def replicate(url: str, to: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET synchronous_commit = local")
        await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = {to}".encode())
        await connection.execute("SELECT pg_reload_conf()")


async def in_commit(url: str) -> int:
    """Wait until a writer is inside COMMIT; its process id."""
    async with asyncio.timeout(5):
        while not (rows := await execute(url, IN_COMMIT)):
            await asyncio.sleep(0.01)
    return rows[0][0]


async def test_no_caller_notices_a_session_that_ended_during_its_commit(
    store: EventStore, own_server: EmbeddedPostgres
) -> None:
    url = own_server.url
    async with fault_run(store.log, url, CALLERS) as callers:
        for _ in range(scaled(3)):
            await callers.wait_for_success()
            async with commits_that_take_long(url):
                await in_commit(url)
                await terminate_writers(url)
    assert callers.failures == []


async def test_a_batch_committed_without_an_answer_is_found_by_its_event_ids(
    store: EventStore, own_server: EmbeddedPostgres
) -> None:
    url = own_server.url
    draft = registration(email="one@example.com", key="k")
    async with commits_that_take_long(url):
        append = asyncio.create_task(store.log.append(draft))
        await in_commit(url)
        await terminate_writers(url)
    appended = await append
    # Its own address, key and version are already stored; this is no conflict.
    assert (await store.log.load(draft.stream)).events == [*appended.events]
    moved = await store.log.append(change(draft.stream, 1, release=draft.take))
    assert await store.feed.head() == moved.position == appended.position + 1


async def test_a_cancelled_wait_for_the_replica_is_no_success(
    store: EventStore, own_server: EmbeddedPostgres
) -> None:
    """The server reports such a commit as done, with a warning, although no replica has it."""
    url, draft = own_server.url, registration(email="one@example.com", key="k")
    async with commits_that_take_long(url):
        append = asyncio.create_task(store.log.append(draft))
        cancelled = await in_commit(url)
        await execute(url, "SELECT pg_cancel_backend(%s)", cancelled)
        async with asyncio.timeout(5):
            while await in_commit(url) == cancelled:
                await asyncio.sleep(0.01)
        assert not append.done()
    appended = await append
    assert (await store.log.load(draft.stream)).events == [*appended.events]
    assert await store.feed.head() == appended.position


async def test_all_answers_stay_true_when_the_server_is_killed_during_a_commit(
    store: EventStore, own_server: EmbeddedPostgres
) -> None:
    url = own_server.url
    async with fault_run(store.log, url, CALLERS) as callers:
        for _ in range(scaled(2)):
            await callers.wait_for_success()
            await replicate(url, "'nobody'")
            await in_commit(url)
            await kill(own_server)
            await own_server.start()
            await replicate(url, "''")
