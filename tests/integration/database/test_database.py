"""The pool of a process: bounded waits, places for short uses, and no trace of lost connections."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from time import monotonic
from typing import LiteralString

import pytest
from psycopg.errors import DivisionByZero

from application.errors import Unavailable
from infrastructure.database import Database, MaybeCommitted
from infrastructure.postgres import Connection
from tests.support.servers.postgres import name_of
from tests.support.servers.postgres_backends import terminate_all
from tests.support.views.directory import execute

SIZE = 6


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    async with Database.open(database_url, size=SIZE) as database:
        yield database


async def test_four_long_uses_leave_places_for_reads_and_a_fifth_waits(database: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(database.session("test"))
        fifth = asyncio.create_task(stack.enter_async_context(database.session("test")))
        for _ in range(20):
            began = monotonic()
            assert await database.rows("SELECT 1") == [(1,)]
            assert monotonic() - began < 1
        assert not fifth.done()
        fifth.cancel()
        await asyncio.gather(fifth, return_exceptions=True)
    async with asyncio.timeout(10), database.session("test"):
        pass


async def test_a_full_pool_is_unavailable_in_time(database: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(SIZE):
            await stack.enter_async_context(database.connection(30))
        began = monotonic()
        with pytest.raises(Unavailable):
            await database.rows("SELECT 1", seconds=0.5)
        assert 0.4 < monotonic() - began < 2
    assert await database.rows("SELECT 1") == [(1,)]


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_wait_for_a_place_stays_cancelled(database: Database, steps: int) -> None:
    """Also if the place becomes free at the same moment, some steps of the event loop earlier."""
    freed = asyncio.Event()

    async def waits() -> None:
        async with database.connection(30):
            await freed.wait()

    async with AsyncExitStack() as stack:
        for _ in range(SIZE):
            await stack.enter_async_context(database.connection(30))
        waiting = asyncio.create_task(waits())
        await asyncio.sleep(0.05)
    for _ in range(steps):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=5)
    assert waiting.cancelled()
    for _ in range(SIZE):
        assert await database.rows("SELECT 1", seconds=0.5) == [(1,)]


async def test_a_statement_that_takes_too_long_is_unavailable_in_time(database: Database) -> None:
    began = monotonic()
    with pytest.raises(Unavailable):
        await database.rows("SELECT pg_sleep(60)", seconds=0.5)
    assert monotonic() - began < 2


async def test_nothing_runs_on_after_its_caller_has_given_up(database: Database) -> None:
    for seconds in (0.3, 1.5):
        with pytest.raises(Unavailable):
            await database.rows("SELECT pg_sleep(60)", seconds=seconds)
    running = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = %s AND pid <> pg_backend_pid() AND state = 'active' AND query ~ 'pg_sleep.60'"""
    async with asyncio.timeout(4):
        while await execute(database.url, running, name_of(database.url)) != [(0,)]:
            await asyncio.sleep(0.05)


async def test_the_server_ends_statements_about_when_the_caller_gives_up(
    database: Database,
) -> None:
    """Also behind a proxy, where it does not see that the caller has gone."""
    shown = "SHOW statement_timeout"
    for _ in range(2):
        assert await database.rows(shown) == [("5s",)]
        assert await database.rows(shown, seconds=29.5) == [("30s",)]
        async with database.connection(60) as connection:
            assert await (await connection.execute(shown)).fetchone() == ("1min",)
        async with database.transaction() as connection:
            assert await (await connection.execute(shown)).fetchone() == ("5s",)


async def test_a_read_outlives_the_end_of_every_connection(database: Database) -> None:
    for _ in range(3):
        async with AsyncExitStack() as stack:
            for _ in range(SIZE):
                await stack.enter_async_context(database.connection(30))
        await terminate_all(database.url)
        assert await database.rows("SELECT 1", seconds=5) == [(1,)]


async def test_a_transaction_commits_all_or_nothing(database: Database) -> None:
    await execute(database.url, "CREATE TABLE numbers (n int)")

    async def fails() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO numbers VALUES (1)")
            raise ZeroDivisionError

    async def loses_its_connection() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO numbers VALUES (2)")
            await terminate_all(database.url)
            await connection.execute("INSERT INTO numbers VALUES (3)")

    with pytest.raises(ZeroDivisionError):
        await fails()
    with pytest.raises(Unavailable) as lost:
        await loses_its_connection()
    assert not isinstance(lost.value, MaybeCommitted)
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO numbers VALUES (4)")
    assert await database.rows("SELECT n FROM numbers") == [(4,)]


async def test_a_commit_without_an_answer_may_have_happened(database: Database) -> None:
    async def loses_its_answer() -> None:
        async with database.transaction() as connection:
            await connection.execute("SELECT 1")
            await terminate_all(database.url)

    with pytest.raises(MaybeCommitted):
        await loses_its_answer()


async def test_settings_of_one_use_end_with_it(database: Database) -> None:
    settings = b"SELECT set_config('enable_sort', 'off', true)"
    assert await database.rows("SHOW enable_sort", settings=settings) == [("off",)]
    async with database.session("test") as connection:
        await connection.execute("SET enable_sort = off")
    for _ in range(SIZE):
        assert await database.rows("SHOW enable_sort") == [("on",)]


async def test_commits_wait_for_the_disk_even_if_the_default_is_weaker(database_url: str) -> None:
    await execute(
        database_url,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', "
        "current_database()); END $$",
    )
    async with Database.open(database_url) as database:
        assert await database.rows("SHOW synchronous_commit") == [("on",)]


async def in_a_pipeline(connection: Connection, *statements: LiteralString) -> None:
    async with connection.pipeline():
        for statement in statements:
            await connection.execute(statement)


async def test_a_failed_pipeline_spoils_no_later_use_of_its_connection(database_url: str) -> None:
    """psycopg prepares a statement at its sixth use, which the failed pipeline here skips."""
    async with Database.open(database_url, size=1) as database:
        for _ in range(5):
            async with database.connection(5) as connection:
                await connection.execute("SELECT 42")
        async with database.connection(5) as connection:
            await connection.execute("BEGIN")
            with pytest.raises(DivisionByZero):
                await in_a_pipeline(connection, "SELECT 1 / 0", "SELECT 42")
        for _ in range(3):
            async with database.connection(5) as connection:
                assert await (await connection.execute("SELECT 42")).fetchall() == [(42,)]


async def test_a_transaction_of_a_process_that_froze_is_ended(database: Database) -> None:
    """So it loses its locks; no block of ours is idle in a transaction for nearly as long."""
    shown = "SHOW idle_in_transaction_session_timeout"
    assert await database.rows(shown) == [("10s",)]
    async with database.session("long") as session:
        assert await (await session.execute(shown)).fetchall() == [("10s",)]
