"""The pool of a process: bounded waits, places for short uses, and no trace of lost connections."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from time import monotonic

import pytest

from application.errors import Unavailable
from infrastructure.database import Database, MaybeCommitted
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
