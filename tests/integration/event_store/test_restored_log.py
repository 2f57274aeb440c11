"""A log on another server than before: no position is used twice, no reader skips an event."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from application.errors import PositionGone
from application.keys.ports import SealBroken, UnknownMasterKey
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.keys import MasterKeys
from infrastructure.migrations import migrate
from interfaces.composition.event_store import open_event_store
from tests.support.log.drafts import registration
from tests.support.servers.postgres import database, execute, name_of
from tests.support.servers.postgres_backends import kill

LEAP = 10**12
ANOTHER_KEY = "YW5vdGhlciBvbmU6IGEgbWFzdGVyIGtleSBvZiAzMiA="


@pytest.fixture
def masters(master_keys: str) -> MasterKeys:
    return MasterKeys.parse(master_keys)


@pytest.fixture
def plain_role(postgres_url: str) -> Iterator[str]:
    """A role that may log in, and nothing else."""
    name = f"rollbook_test_{uuid4().hex[:12]}"
    execute(postgres_url, sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER").format(sql.Identifier(name)))
    yield name
    execute(postgres_url, sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


async def append(url: str, masters: MasterKeys, count: int) -> list[int]:
    """Open the log, append `count` events and close it; their positions."""
    async with open_event_store(url, masters) as store:
        return [(await store.log.append(registration())).position for _ in range(count)]


async def move_to_another_server(url: str) -> None:
    await run(url, "UPDATE log SET system_identifier = 'another server'")


async def breaks(url: str) -> list[tuple[Any, ...]]:
    query = "SELECT epoch, last_valid, first_new FROM log_breaks ORDER BY epoch"
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return await (await connection.execute(query)).fetchall()


async def test_a_log_that_stays_on_its_server_continues_its_positions(
    database_url: str, masters: MasterKeys
) -> None:
    assert await append(database_url, masters, 2) == [1, 2]
    assert await append(database_url, masters, 1) == [3]
    assert await breaks(database_url) == []


async def test_a_restored_log_continues_at_the_next_multiple_of_the_leap(
    database_url: str, masters: MasterKeys
) -> None:
    await append(database_url, masters, 3)
    await move_to_another_server(database_url)
    async with open_event_store(database_url, masters) as store:
        assert store.identity.epoch == 2
        new = await store.log.append(registration())
        assert new.position == LEAP
        assert (await store.feed.read(3, 10)).events == list(new.events)
        assert (await store.feed.read(LEAP - 1, 10)).events == list(new.events)
        assert (await store.feed.read(LEAP, 10)).events == []
        for gone in (4, 5000, LEAP - 2):
            with pytest.raises(PositionGone) as refused:
                await store.feed.read(gone, 10)
            assert refused.value.resume_after == 3
    assert await breaks(database_url) == [(2, 3, LEAP)]


async def test_every_restore_leaps_again_and_keeps_the_breaks_before(
    database_url: str, masters: MasterKeys
) -> None:
    await append(database_url, masters, 3)
    for _ in range(2):
        await move_to_another_server(database_url)
        await append(database_url, masters, 2)
    assert await breaks(database_url) == [(2, 3, LEAP), (3, LEAP + 1, 2 * LEAP)]
    async with open_event_store(database_url, masters) as store:
        positions = [recorded.position for recorded in (await store.feed.read(0, 100)).events]
        assert positions == [1, 2, 3, LEAP, LEAP + 1, 2 * LEAP, 2 * LEAP + 1]
        for gone, resume_after in ((4, 3), (LEAP + 2, LEAP + 1)):
            with pytest.raises(PositionGone) as refused:
                await store.feed.read(gone, 10)
            assert refused.value.resume_after == resume_after


async def test_only_one_of_many_processes_that_start_after_a_restore_leaps(
    database_url: str, masters: MasterKeys
) -> None:
    database = sql.Identifier(name_of(database_url))
    setting = sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'")
    execute(database_url, setting.format(database))
    await append(database_url, masters, 3)
    await move_to_another_server(database_url)
    positions = await asyncio.gather(*(append(database_url, masters, 1) for _ in range(6)))
    assert sorted(position for (position,) in positions) == [*range(LEAP, LEAP + 6)]
    assert await breaks(database_url) == [(2, 3, LEAP)]


async def test_an_empty_log_that_moved_begins_beyond_the_leap(
    database_url: str, masters: MasterKeys
) -> None:
    await append(database_url, masters, 0)
    await move_to_another_server(database_url)
    assert await append(database_url, masters, 1) == [LEAP]
    assert await breaks(database_url) == [(2, 0, LEAP)]


async def test_a_recovery_from_the_archive_is_a_restore(
    own_server: EmbeddedPostgres, masters: MasterKeys
) -> None:
    await append(own_server.url, masters, 2)
    await end_for_recovery(own_server, "recovery.signal")
    await own_server.start()
    await recovered(own_server.url)
    assert await append(own_server.url, masters, 1) == [LEAP]
    await run(own_server.url, "CHECKPOINT")
    assert await append(own_server.url, masters, 1) == [LEAP + 1]


async def test_a_standby_s_promotion_is_noticed_before_its_first_checkpoint(
    own_server: EmbeddedPostgres, masters: MasterKeys
) -> None:
    await append(own_server.url, masters, 2)
    # So much to write that the checkpoint after the promotion takes long.
    await run(own_server.url, "CREATE TABLE ballast AS SELECT generate_series(1, 200000)")
    await end_for_recovery(own_server, "standby.signal")
    starting = asyncio.create_task(own_server.start())
    await promote(own_server.url)
    await starting
    assert await append(own_server.url, masters, 1) == [LEAP]
    await run(own_server.url, "CHECKPOINT")
    assert await append(own_server.url, masters, 1) == [LEAP + 1]


async def end_for_recovery(server: EmbeddedPostgres, signal_file: str) -> None:
    """Kill the server; at its next start it recovers from an empty archive."""
    async with await psycopg.AsyncConnection.connect(server.url) as connection:
        row = await (await connection.execute("SHOW data_directory")).fetchone()
    assert row is not None
    data = Path(row[0])
    await kill(server)
    (data / signal_file).touch()
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write("restore_command = 'false'\n")


async def recovered(url: str) -> None:
    """Returns when the server accepts writes."""
    async with asyncio.timeout(20):
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while await (await connection.execute("SELECT 1 WHERE pg_is_in_recovery()")).fetchone():
                await asyncio.sleep(0.02)


async def promote(url: str) -> None:
    """Make a standby the primary as soon as it accepts the request."""
    async with asyncio.timeout(20):
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(url) as connection:
                    await connection.execute("SELECT pg_promote()")
                    return
            except psycopg.OperationalError:
                await asyncio.sleep(0.05)


async def run(url: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(statement.encode())


async def test_a_log_does_not_open_with_another_master_key(
    database_url: str, masters: MasterKeys
) -> None:
    await append(database_url, masters, 1)
    with pytest.raises(UnknownMasterKey):
        await append(database_url, MasterKeys.parse(ANOTHER_KEY), 1)


async def test_a_log_does_not_open_if_its_wrapped_key_was_changed(
    database_url: str, masters: MasterKeys
) -> None:
    await append(database_url, masters, 1)
    await run(database_url, "UPDATE log SET index_key = index_key || '\\x00'")
    with pytest.raises(SealBroken):
        await append(database_url, masters, 1)


async def test_an_owner_without_further_rights_can_do_everything(
    postgres_url: str, plain_role: str, masters: MasterKeys
) -> None:
    with database(postgres_url) as url:
        owner = sql.SQL("ALTER DATABASE {} OWNER TO {}")
        execute(url, owner.format(sql.Identifier(name_of(url)), sql.Identifier(plain_role)))
        theirs = make_conninfo(url, user=plain_role)
        await migrate(theirs)
        assert await append(theirs, masters, 2) == [1, 2]
        await move_to_another_server(theirs)
        assert await append(theirs, masters, 1) == [LEAP]
