"""Cut connections and frozen servers under the writer: no false answer, nothing lost or doubled."""

import asyncio
import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from uuid_utils.compat import uuid7

from application.errors import ClaimTaken, OutcomeUnknown, Unavailable
from infrastructure.database import Database
from infrastructure.event_store.log import PostgresEventLog
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.log.drafts import change, registration
from tests.support.log.faults import fault_run
from tests.support.servers.postgres import execute, name_of, scaled
from tests.support.servers.postgres_backends import (
    append_lock,
    frozen,
    terminate_all,
    terminate_writers,
    waiting_for_lock,
    writers,
)
from tests.support.servers.postgres_proxy import Cut, PostgresProxy
from tests.support.views.directory import execute as run

CALLERS = 32

Terminate = Callable[[str], Awaitable[None]]


@pytest.fixture
def socket_directory() -> Iterator[Path]:
    """A short path, as a Unix socket needs one."""
    with tempfile.TemporaryDirectory(prefix="rb-") as directory:
        yield Path(directory)


@pytest.fixture
async def proxy(database_url: str, socket_directory: Path) -> AsyncIterator[PostgresProxy]:
    async with PostgresProxy.to(database_url, socket_directory) as proxy:
        yield proxy


@pytest.fixture
async def store(proxy: PostgresProxy, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(proxy.url, MasterKeys.parse(master_keys)) as store:
        yield store


@pytest.mark.parametrize("how", Cut, ids=lambda how: how.name.lower())
async def test_no_caller_notices_a_connection_that_is_cut_around_an_append(
    store: EventStore, proxy: PostgresProxy, database_url: str, how: Cut
) -> None:
    async with fault_run(store.log, database_url, CALLERS) as callers:
        for _ in range(scaled(1)):
            # More cuts in a row could delay one batch for longer than its callers wait.
            for _ in range(3):
                await proxy.cut(how)
                await asyncio.sleep(random.uniform(0, 0.1))
            await callers.wait_for_success()
    assert callers.failures == []


@pytest.mark.parametrize(
    "terminate", [terminate_writers, pytest.param(terminate_all, marks=pytest.mark.long)]
)
async def test_no_caller_notices_sessions_that_an_administrator_ended(
    store: EventStore, database_url: str, terminate: Terminate
) -> None:
    async with fault_run(store.log, database_url, CALLERS) as callers:
        for _ in range(scaled(15)):
            await asyncio.sleep(random.uniform(0, 0.1))
            await terminate(database_url)
    assert callers.failures == []


async def test_a_session_that_ends_while_it_waits_for_the_lock_only_delays_its_batch(
    store: EventStore, database_url: str
) -> None:
    async with fault_run(store.log, database_url, CALLERS) as callers:
        for _ in range(scaled(3)):
            async with append_lock(database_url):
                await waiting_for_lock(database_url)
                await terminate_writers(database_url)
            await callers.wait_for_success()
    assert callers.failures == []


@pytest.mark.long
async def test_a_frozen_backend_costs_time_and_nothing_else(
    store: EventStore, database_url: str
) -> None:
    async with fault_run(store.log, database_url, CALLERS) as callers:
        for _ in range(scaled(3)):
            await asyncio.sleep(random.uniform(0.05, 0.15))
            with frozen(*await writers(database_url)):
                await asyncio.sleep(random.uniform(0.5, 2.5))
    assert callers.failures == []


async def test_outcomes_are_unknown_if_a_backend_with_the_lock_is_frozen_for_too_long(
    store: EventStore, database_url: str
) -> None:
    async with fault_run(store.log, database_url, CALLERS) as callers:
        async with append_lock(database_url):
            backend = await waiting_for_lock(database_url)
            os.kill(backend, signal.SIGSTOP)
        # The lock goes to the first waiting backend, and that one is frozen: no append can run.
        try:
            await asyncio.sleep(4.5)
        finally:
            os.kill(backend, signal.SIGCONT)
        await asyncio.sleep(0.3)
    errors = {type(failure) for failure in callers.failures}
    assert errors <= {OutcomeUnknown, Unavailable}
    assert OutcomeUnknown in errors


async def test_a_refused_retry_says_nothing_about_the_first_try(
    store: EventStore, database_url: str
) -> None:
    short_timeout = sql.SQL("ALTER DATABASE {} SET lock_timeout = '1s'")
    execute(database_url, short_timeout.format(sql.Identifier(name_of(database_url))))
    draft = registration()
    async with append_lock(database_url):
        append = asyncio.create_task(store.log.append(draft))
        backend = await waiting_for_lock(database_url)
        os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(OutcomeUnknown):
            await append
    finally:
        os.kill(backend, signal.SIGCONT)


async def test_a_recorded_append_that_cannot_be_read_back_has_an_unknown_outcome(
    store: EventStore, proxy: PostgresProxy, database_url: str
) -> None:
    nowhere = make_conninfo(database_url, host="/nowhere")
    async with Database.open(nowhere, size=1) as reader:
        log = PostgresEventLog(reader, store.writer, store.mapper, store.keys, uuid7)
        cut = asyncio.create_task(proxy.cut(Cut.BEFORE_THE_REPLY))
        draft = registration()
        with pytest.raises(OutcomeUnknown):
            await log.append(draft)
        await cut
    assert len((await store.log.load(draft.stream)).events) == 1


async def test_an_orphaned_batch_changes_nothing_after_its_retry_was_refused(
    store: EventStore, database_url: str
) -> None:
    holder = registration(email="one@example.com")
    await store.log.append(holder)
    (idle,) = await writers(database_url)
    with frozen(idle):
        # The request lies unread in the frozen backend's socket; the answer is from another one.
        refused = registration(email="one@example.com", key="k")
        with pytest.raises(ClaimTaken):
            await store.log.append(refused)
        released = change(holder.stream, 1, release=holder.take)
        head = (await store.log.append(released)).position
    await _ended(database_url, idle)
    assert await store.feed.head() == head
    assert (await store.log.load(refused.stream)).events == []
    assert await store.log.holder_of("email", "one@example.com") is None
    assert await run(database_url, "SELECT key FROM receipts") == []


async def test_an_orphaned_batch_that_was_recorded_by_a_retry_is_recorded_once(
    store: EventStore, database_url: str
) -> None:
    await store.log.append(registration())
    (idle,) = await writers(database_url)
    draft = registration(email="one@example.com", key="k")
    with frozen(idle):
        appended = await store.log.append(draft)
        freed = change(draft.stream, 1, release=draft.take)
        head = (await store.log.append(freed)).position
    await _ended(database_url, idle)
    assert (await store.log.load(draft.stream)).events[0] == appended.events[0]
    assert await store.feed.head() == head
    assert await store.log.holder_of("email", "one@example.com") is None


async def _ended(database_url: str, backend: int) -> None:
    async with asyncio.timeout(5):
        while backend in await writers(database_url):
            await asyncio.sleep(0.02)
