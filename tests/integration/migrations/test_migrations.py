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
from infrastructure.migrations.upgrade import DIRECTORY, upgrade
from interfaces.cli.server.listener import open_listener, web_address
from interfaces.cli.server.process import ApplicationProcess
from interfaces.roles import EVERY_ROLE
from tests.support.servers.postgres import scale
from tests.support.servers.rollbook import ROOT, run_rollbook

PROCESSES: Final = 6 if scale() > 1 else 3
# The next migration alters the table `log`, which every append reads.
OLDER: Final = "0008"
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
async def session(url: str) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


async def migrate_to(url: str, version: str) -> None:
    """An older schema."""

    def migrate_session() -> None:
        with psycopg.connect(url, autocommit=True) as session:
            upgrade(session, version)

    await asyncio.to_thread(migrate_session)


async def write_until(stopped: asyncio.Event, url: str, waits: list[float]) -> None:
    """Write in short transactions; the seconds that each one took."""
    async with session(url) as writer:
        while not stopped.is_set():
            began = time.monotonic()
            await writer.execute("UPDATE log SET epoch = epoch")
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def migrating_elsewhere(url: str) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    """Another process holds the migration lock; its session."""
    async with session(url) as migrating:
        assert await (await migrating.execute(LOCK)).fetchone() == (True,)
        yield migrating


async def test_processes_that_start_at_once_on_an_empty_database_all_start(
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
    followers = [(name,) for name in ("headcount", "reactions", "users")]
    assert await rows(empty_database_url, checkpoints) == followers


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


async def test_a_migration_waits_for_a_dump_without_blocking_the_sessions_behind_it(
    empty_database_url: str,
) -> None:
    """A session that has read the table, such as pg_dump, holds up the migration only."""
    await migrate_to(empty_database_url, OLDER)
    stopped, waits = asyncio.Event(), list[float]()
    async with session(empty_database_url) as dump, dump.transaction():
        await dump.execute("LOCK TABLE log IN ACCESS SHARE MODE")
        writing = asyncio.create_task(write_until(stopped, empty_database_url, waits))
        migrating = asyncio.create_task(migrate(empty_database_url))
        await asyncio.sleep(3)
        assert not migrating.done()
        assert max(waits) < 1
        # It queued once, and then waited for the end of the dump without a lock.
        assert sum(wait > 0.3 for wait in waits) <= 1
    async with asyncio.timeout(10):
        await migrating
    stopped.set()
    await writing
    assert await rows(empty_database_url, "SELECT version_num FROM alembic_version") == [
        (newest(),)
    ]


async def test_a_migration_that_gets_no_lock_in_time_names_the_session_in_one_line(
    empty_database_url: str,
) -> None:
    await migrate_to(empty_database_url, OLDER)
    async with session(empty_database_url) as dump, dump.transaction():
        await dump.execute("SET LOCAL application_name = 'pg_dump'")
        await dump.execute("SELECT FROM log")
        with pytest.raises(MigrationBusy) as busy:
            await migrate(empty_database_url, timeout_seconds=1)
        holder = f"pid {dump.info.backend_pid} (pg_dump)"
    assert str(busy.value) == f"a lock that a migration needs is held by {holder}"


async def test_a_migration_that_fails_is_one_line_without_sql_and_values(
    empty_database_url: str,
) -> None:
    await migrate_to(empty_database_url, OLDER)
    async with session(empty_database_url) as other:
        await other.execute("ALTER TABLE log ADD COLUMN master_id text DEFAULT 'secret'")
    ended = run_rollbook("migrate", ROLLBOOK_DATABASE_URL=empty_database_url)
    assert (ended.returncode, ended.stdout) == (1, "")
    expected = f"rollbook: the migration after {OLDER} failed: DuplicateColumn (42701)\n"
    assert ended.stderr == expected


async def test_the_schema_of_a_newer_release_is_left_alone(database_url: str) -> None:
    async with session(database_url) as other:
        await other.execute("UPDATE alembic_version SET version_num = '9999'")
    await migrate(database_url)
    assert await rows(database_url, "SELECT version_num FROM alembic_version") == [("9999",)]


async def test_a_migration_elsewhere_that_takes_too_long_is_an_error(
    empty_database_url: str,
) -> None:
    async with migrating_elsewhere(empty_database_url):
        began = time.monotonic()
        with pytest.raises(MigrationBusy, match="Another process is migrating"):
            await migrate(empty_database_url, timeout_seconds=0.3)
        assert time.monotonic() - began < 3
    await migrate(empty_database_url)


async def test_each_parked_stream_of_an_older_release_becomes_one_row(
    empty_database_url: str,
) -> None:
    await migrate_to(empty_database_url, "0013")
    async with session(empty_database_url) as connection:
        await connection.execute(
            """INSERT INTO parked (tenant, projection, generation, stream, version, position, event_id,
                error)
            SELECT 'main', 'users', generation, stream::text::uuid, version, 10 * version,
                gen_random_uuid(), CASE WHEN version = first THEN 'ValueError' ELSE 'queued' END
            FROM (VALUES (1, '018f0000-0000-7000-8000-000000000001', 3, 7),
                         (1, '018f0000-0000-7000-8000-000000000002', 1, 1),
                         (2, '018f0000-0000-7000-8000-000000000001', 2, 7))
                AS parked (generation, stream, first, last)
            CROSS JOIN LATERAL generate_series(first, last) AS version"""
        )
    await migrate(empty_database_url)
    found = await rows(
        empty_database_url,
        """SELECT generation, right(stream::text, 1), version, last_version, position, error
        FROM parked ORDER BY 1, 2""",
    )
    assert found == [
        (1, "1", 3, 7, 30, "ValueError"),
        (1, "2", 1, 1, 10, "ValueError"),
        (2, "1", 2, 7, 20, "ValueError"),
    ]


async def test_an_index_that_was_left_half_built_is_built_again(empty_database_url: str) -> None:
    url = empty_database_url
    await migrate_to(url, "0024")
    async with session(url) as broken:
        # As after a kill: the migration is not recorded, and its index is not usable.
        await broken.execute("UPDATE alembic_version SET version_num = '0023'")
        await broken.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'claims_tokens'::regclass"
        )
    await migrate(url)
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'claims_tokens'::regclass"
    assert await rows(url, valid) == [(True,)]
