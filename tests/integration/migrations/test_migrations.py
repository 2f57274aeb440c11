"""Migrations: any number of processes may start at once, and again; one migrates, others wait."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final, LiteralString

import httpx2
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from infrastructure.migrations import MigrationBusy, migrate
from infrastructure.migrations.migrate import newest
from infrastructure.migrations.upgrade import DIRECTORY
from interfaces.cli.server.listener import open_listener, web_address
from interfaces.cli.server.process import ApplicationProcess
from interfaces.roles import EVERY_ROLE
from tests.support.servers.rollbook import ROOT

PROCESSES: Final = 6
ROLES: Final = EVERY_ROLE - {"relay"}
TOKEN: Final = "a-token-of-thirty-two-characters"

# All versions of Rollbook must take the same lock to migrate.
LOCK: Final = "SELECT pg_try_advisory_lock(1383034987, 2)"

_SCHEMA: Final = """
SELECT 'column', table_name || '.' || column_name, data_type || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1, 2"""
_OTHERS: Final = """
SELECT xact_start, wait_event_type FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""


async def rows(url: str, query: LiteralString) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return list(await (await connection.execute(query)).fetchall())


@asynccontextmanager
async def migrating_elsewhere(url: str) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    """Another process holds the migration lock; its session."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as session:
        assert await (await session.execute(LOCK)).fetchone() == (True,)
        yield session


async def test_six_processes_that_start_at_once_on_an_empty_database_all_start(
    empty_database_url: str, master_keys: str
) -> None:
    environment = {
        "ROLLBOOK_DATABASE_URL": empty_database_url,
        "ROLLBOOK_MASTER_KEY": master_keys,
        "ROLLBOOK_ADMIN_TOKEN": TOKEN,
        "PYTHONPATH": str(ROOT),
    }
    with ExitStack() as stack:
        listeners = [stack.enter_context(open_listener("127.0.0.1", 0)) for _ in range(PROCESSES)]
        processes = [ApplicationProcess(listener, environment, ROLES) for listener in listeners]
        try:
            await asyncio.gather(*(process.start() for process in processes))
            async with httpx2.AsyncClient(trust_env=False) as client:
                for listener in listeners:
                    address = web_address("127.0.0.1", listener)
                    answer = await client.get(f"{address}/health/ready")
                    assert answer.status_code == 200, answer.text
        finally:
            await asyncio.gather(*(process.stop() for process in processes))
    assert len(await rows(empty_database_url, "SELECT id FROM log")) == 1
    assert len(await rows(empty_database_url, "SELECT version_num FROM alembic_version")) == 1
    checkpoints = "SELECT projection FROM checkpoints ORDER BY 1"
    assert await rows(empty_database_url, checkpoints) == [("headcount",), ("users",)]


async def test_migrating_again_changes_nothing(empty_database_url: str) -> None:
    await migrate(empty_database_url)
    schema = await rows(empty_database_url, _SCHEMA)
    assert "stored_events_position" in {row[1] for row in schema}
    await migrate(empty_database_url)
    assert await rows(empty_database_url, _SCHEMA) == schema


async def test_at_the_newest_schema_no_process_waits_for_another_migration(
    database_url: str,
) -> None:
    async with migrating_elsewhere(database_url):
        await migrate(database_url, timeout_seconds=0)


def test_the_newest_migration_is_the_head_of_alembic() -> None:
    config = Config()
    config.set_main_option("script_location", str(DIRECTORY))
    assert newest() == ScriptDirectory.from_config(config).get_current_head()


async def test_a_process_that_waits_for_a_migration_does_not_block_its_indexes(
    empty_database_url: str,
) -> None:
    async with migrating_elsewhere(empty_database_url) as elsewhere:
        waiting = asyncio.create_task(migrate(empty_database_url))
        await elsewhere.execute("CREATE TABLE things (n int)")
        await asyncio.sleep(0.5)
        others = await (await elsewhere.execute(_OTHERS)).fetchall()
        assert others
        assert all(begun is None and wait != "Lock" for begun, wait in others)
        # This statement waits for every transaction that began before it.
        async with asyncio.timeout(5):
            await elsewhere.execute("CREATE INDEX CONCURRENTLY ON things (n)")
        assert not waiting.done()
    await waiting
    assert await rows(empty_database_url, "SELECT count(*) FROM stored_events") == [(0,)]


async def test_a_migration_elsewhere_that_takes_too_long_is_an_error(
    empty_database_url: str,
) -> None:
    async with migrating_elsewhere(empty_database_url):
        began = time.monotonic()
        with pytest.raises(MigrationBusy, match="Another process is migrating"):
            await migrate(empty_database_url, timeout_seconds=0.3)
        assert time.monotonic() - began < 3
    await migrate(empty_database_url)
