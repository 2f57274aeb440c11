"""The purge removes what is too old, in many short transactions, and nothing else."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, Final

import psycopg
import pytest
from uuid_utils.compat import uuid7

from application.access.sessions import NewSession
from application.errors import Unavailable
from application.identity import PRESETS, Principal
from application.jobs.maintenance import purge_jobs
from infrastructure.database import Database
from infrastructure.housekeeping.postgres import PURGED, PostgresHousekeeping, statement_of
from infrastructure.identity.links import PostgresSignInLinks
from infrastructure.identity.sessions import PostgresSessions
from infrastructure.identity.tickets import PostgresTickets
from tests.support.jobs.jobs import Bench, echo, kind
from tests.support.servers.postgres import scaled

Connection = psycopg.AsyncConnection[Any]

_RECEIPTS: Final = """
INSERT INTO receipts
SELECT 'main', 'token:test', 'key-' || n, '\\x00', 200, gen_random_uuid(), 1, n,
       now() - make_interval(mins => n) FROM generate_series(1, %s) AS n"""


@pytest.fixture
async def connection(database_url: str) -> AsyncGenerator[Connection]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


async def steps(url: str, name: str) -> list[int]:
    """The number of rows of this name that each transaction of a purge removed."""
    async with Database.open(url) as database:
        purge = PostgresHousekeeping(database).purge()
        return [rows async for each, rows in purge if each == name]


async def one(connection: Connection, query: str) -> Any:
    row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return row[0]


async def test_receipts_are_kept_for_a_day(database_url: str, connection: Connection) -> None:
    minutes = scaled(40_000)
    await connection.execute(_RECEIPTS, (minutes,))
    removed = await steps(database_url, "receipts")
    assert len(removed) > 2
    assert minutes - 24 * 60 <= sum(removed) <= minutes - 24 * 60 + 1
    oldest = await one(connection, "SELECT now() - min(recorded_at) FROM receipts")
    assert timedelta(hours=23, minutes=58) < oldest < timedelta(hours=24, minutes=1)
    assert sum(await steps(database_url, "receipts")) <= 1


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("receipts", "receipts_time"),
        ("jobs", "jobs_finished"),
        ("tickets", "tickets_expiry"),
        ("sessions", "sessions_idle"),
        ("signin_links", "signin_links_expiry"),
    ],
)
async def test_expired_rows_are_found_by_an_index(
    connection: Connection, name: str, index: str
) -> None:
    await connection.execute("SET enable_seqscan = off")
    query = b"EXPLAIN " + statement_of(name)
    assert index in str(await (await connection.execute(query)).fetchall())


async def test_expired_tickets_are_removed(database_url: str, connection: Connection) -> None:
    reader = Principal(actor="token:reader", permissions=PRESETS["reader"])
    async with Database.open(database_url) as database:
        tickets = PostgresTickets(database)
        for _ in range(3):
            await tickets.issue(reader)
        await connection.execute("UPDATE tickets SET expires_at = now() - interval '1 second'")
        assert await steps(database_url, "tickets") == [3, 0]
        await tickets.issue(reader)
        assert await steps(database_url, "tickets") == [0]


async def test_ended_sessions_and_expired_links_are_removed(
    database_url: str, connection: Connection
) -> None:
    session = NewSession(actor="local:ada", permissions=frozenset(), name="ada", via="link")
    async with Database.open(database_url) as database:
        sessions = PostgresSessions(database, b"", uuid7)
        links = PostgresSignInLinks(database, b"")
        for _ in range(2):
            await sessions.start(session, None)
            await links.make(session)
        await connection.execute(
            "UPDATE sessions SET last_seen_at = now() - interval '12 hours 1 second'"
        )
        await connection.execute("UPDATE signin_links SET expires_at = now() - interval '1 second'")
        kept = sessions.credential((await sessions.start(session, None)).secret)
        link = await links.make(session)
        assert await steps(database_url, "sessions") == [2, 0]
        assert await one(connection, "SELECT count(*) FROM signin_links") == 1
        assert kept in await sessions.find([str(kept)])
        assert await links.redeem(link.code) == session


async def test_jobs_are_kept_for_a_month_after_their_end(
    database_url: str, connection: Connection
) -> None:
    async with Bench.in_postgres(database_url) as bench:
        old, recent, waiting = [await bench.submit("work") for _ in range(3)]
        for job in (old, recent):
            await bench.jobs.cancel(job.id)
        new = await bench.submit("work")
        await connection.execute(
            "UPDATE jobs SET finished_at = now() - interval '31 days' WHERE id = %s", (old.id,)
        )
        await connection.execute(
            "UPDATE jobs SET created_at = now() - interval '31 days' WHERE id <> %s", (new.id,)
        )
        assert await steps(database_url, "jobs") == [1, 0]
        left = await (await connection.execute("SELECT state FROM jobs ORDER BY id")).fetchall()
        assert [row[0] for row in left] == ["cancelled", "queued", "queued"]
        assert await bench.jobs.job(recent.id) is not None
        assert await bench.jobs.job(waiting.id) is not None


async def test_many_old_jobs_are_removed_in_batches(
    database_url: str, connection: Connection
) -> None:
    count = scaled(5000)
    await connection.execute(
        """INSERT INTO jobs (tenant, id, kind, state, arguments, actor, finished_at)
        SELECT 'main', ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'work',
               'succeeded', '{}', 'token:test', now() - interval '31 days'
        FROM generate_series(1, %s) AS n""",
        (count,),
    )
    removed = await steps(database_url, "jobs")
    assert sum(removed) == count
    assert len(removed) > 2


async def test_a_purge_blocks_no_command_and_no_command_blocks_it(
    database_url: str, connection: Connection
) -> None:
    await connection.execute(_RECEIPTS, (5000,))
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute(
            "INSERT INTO receipts VALUES ('main', 'token:test', 'mine', '\\x00', 200, "
            "gen_random_uuid(), 1, 1, now())"
        )
        assert sum(await steps(database_url, "receipts")) >= 5000 - 24 * 60
        await other.commit()
    assert await one(connection, "SELECT count(*) FROM receipts WHERE key = 'mine'") == 1


async def test_the_job_reports_what_it_removed(database_url: str, connection: Connection) -> None:
    await connection.execute(_RECEIPTS, (24 * 60 + 500,))
    async with (
        Database.open(database_url) as database,
        Bench.in_postgres(database_url) as bench,
        bench.working(purge_jobs(PostgresHousekeeping(database)), kind(echo)),
    ):
        done = await bench.wait_for(await bench.submit("purge"))
    assert done.state == "succeeded"
    others = {name: 0 for name in PURGED if name != "receipts"}
    assert done.result in [{"receipts": n, **others} for n in (500, 501)]
    assert done.progress.done == sum(done.result.values())


async def test_a_purge_without_a_database_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await steps("postgresql://127.0.0.1:1/none", "jobs")
