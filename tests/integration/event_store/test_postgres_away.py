"""Postgres stopped, killed or frozen under load: callers get true answers, and all recovers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest

from application.errors import OutcomeUnknown, Unavailable
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.log.callers import Callers
from tests.support.log.drafts import registration
from tests.support.log.faults import fault_run
from tests.support.servers.postgres_backends import frozen, kill, server_processes

CALLERS = 16
AWAY_SECONDS = 4.0
MAX_ANSWER_SECONDS = 5.0

GoAway = Callable[[EmbeddedPostgres], Awaitable[None]]


@pytest.fixture
async def store(own_server: EmbeddedPostgres, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(own_server.url, MasterKeys.parse(master_keys)) as store:
        yield store


async def stop(server: EmbeddedPostgres) -> None:
    await server.stop()


@pytest.mark.parametrize("go_away", [kill, pytest.param(stop, marks=pytest.mark.long)])
async def test_all_answers_stay_true_when_the_server_ends_and_comes_back(
    store: EventStore, own_server: EmbeddedPostgres, go_away: GoAway
) -> None:
    async with fault_run(store.log, own_server.url, CALLERS) as callers:
        await asyncio.sleep(0.3)
        await go_away(own_server)
        await asyncio.sleep(AWAY_SECONDS)
        await own_server.start()
        await callers.wait_for_success()
    check(callers)


async def test_all_answers_stay_true_when_the_server_is_frozen(
    store: EventStore, own_server: EmbeddedPostgres
) -> None:
    assert own_server.pid is not None
    async with fault_run(store.log, own_server.url, CALLERS) as callers:
        await asyncio.sleep(0.3)
        with frozen(*server_processes(own_server.pid)):
            await asyncio.sleep(5)
        await callers.wait_for_success()
    check(callers)


@pytest.mark.parametrize("go_away", [kill, pytest.param(stop, marks=pytest.mark.long)])
async def test_a_command_to_an_absent_server_is_surely_not_recorded(
    store: EventStore, own_server: EmbeddedPostgres, go_away: GoAway
) -> None:
    await store.log.append(registration())
    await go_away(own_server)
    draft = registration()
    began = time.monotonic()
    calls = (store.log.append(draft), store.log.load(draft.stream), store.feed.head())
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert time.monotonic() - began < MAX_ANSWER_SECONDS
    await own_server.start()
    await recovered(store)
    assert (await store.log.load(draft.stream)).events == []


async def test_writes_continue_after_the_server_was_read_only_for_a_while(
    store: EventStore, own_server: EmbeddedPostgres
) -> None:
    first = await store.log.append(registration())
    await run(own_server, "ALTER SYSTEM SET default_transaction_read_only = on")
    with pytest.raises((Unavailable, OutcomeUnknown)):
        await store.log.append(registration())
    assert await store.feed.head() == first.position
    await run(own_server, "ALTER SYSTEM RESET default_transaction_read_only")
    await recovered(store)


async def run(server: EmbeddedPostgres, statement: str) -> None:
    """Run the statement and have the server reload its settings."""
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        await connection.execute(statement.encode())
        await connection.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.2)


async def recovered(store: EventStore) -> None:
    """Returns when the open store appends and reads again."""
    async with asyncio.timeout(10):
        while True:
            draft = registration()
            try:
                await store.log.append(draft)
                await store.log.load(draft.stream)
            except (Unavailable, OutcomeUnknown):
                continue
            return


def check(callers: Callers) -> None:
    """Callers got the expected errors, in time."""
    assert {type(failure) for failure in callers.failures} <= {Unavailable, OutcomeUnknown}
    assert callers.failures
    assert max(one.seconds for one in callers.results) < MAX_ANSWER_SECONDS
