"""A process that freezes while it holds a lock is replaced, and does no harm when it thaws."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from time import monotonic
from typing import Any, Final

import psycopg
import pytest

from application.exports.requests import ExportSpec
from application.jobs.model import Job
from application.queries.directory import UserList
from domain.user.events import UserRegistered
from infrastructure.migrations.migrate import newest
from infrastructure.migrations.upgrade import upgrade
from infrastructure.views.sql.slot_lock import lock_of
from tests.support.http.agreement import assert_views_are_a_fresh_fold
from tests.support.jobs.exporting import ExportWorld
from tests.support.jobs.relaying import RelaySide, outsider, positions_of
from tests.support.run.logs import new_log
from tests.support.servers.postgres_backends import frozen
from tests.support.servers.rabbit import RabbitNode
from tests.support.servers.rollbook import rollbook_command, rollbook_environment, until
from tests.support.views.directory import ReadSide, execute

REPLACED_SECONDS: Final = 30.0
TOKEN: Final = "a-token-of-thirty-two-characters"

_LEADERS: Final = """
SELECT activity.application_name
FROM pg_locks AS held JOIN pg_stat_activity AS activity USING (pid)
WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
  AND activity.datname = current_database() AND activity.application_name IN ('one', 'two')"""
_OF_USERS: Final = f"{_LEADERS} AND (held.classid::bigint << 32 | held.objid::bigint) = %s"
_REACHED: Final = "SELECT position FROM checkpoints WHERE projection = 'users' AND generation = 1"


class Roles:
    """Starts roles as processes; the name of each is the `application_name` of its sessions."""

    def __init__(self, url: str, master_keys: str) -> None:
        self.url = url
        self._settings = {"ROLLBOOK_MASTER_KEY": master_keys, "ROLLBOOK_ADMIN_TOKEN": TOKEN}
        self.processes: dict[str, int] = {}

    @contextmanager
    def running(self, role: str, name: str, **settings: str) -> Generator[None]:
        url = f"{self.url}{'&' if '?' in self.url else '?'}application_name={name}"
        log = new_log(name)
        with log.open("wb") as output:
            process = subprocess.Popen(
                rollbook_command(role),
                env=rollbook_environment(**self._settings, **settings, ROLLBOOK_DATABASE_URL=url),
                stderr=output,
                cwd="/",
            )
        self.processes[name] = process.pid
        try:
            until(lambda: '"ready"' in log.read_text(), 60)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
def roles(database_url: str, master_keys: str) -> Roles:
    return Roles(database_url, master_keys)


async def leader(url: str, query: str, *values: Any) -> str:
    """The name of the process that leads."""
    async with asyncio.timeout(20):
        while not (rows := await execute(url, query, *values)):
            await asyncio.sleep(0.05)
    return rows[0][0]


def user(n: int) -> UserRegistered:
    return UserRegistered(name=f"N{n}", email=f"n{n}@example.org", role="member")


async def test_a_frozen_projector_is_replaced(roles: Roles, master_keys: str) -> None:
    async with ReadSide.open(roles.url) as side:

        async def projected(n: int) -> None:
            await side.record(user(n))
            head = await side.events.feed.head()
            async with asyncio.timeout(REPLACED_SECONDS):
                while (await execute(side.url, _REACHED))[0][0] < head:
                    await asyncio.sleep(0.05)

        with roles.running("projector", "one"), roles.running("projector", "two"):
            await projected(1)
            first = await leader(side.url, _OF_USERS, lock_of("users", 1))
            with frozen(roles.processes[first]):
                await projected(2)
                await projected(3)
                second = await leader(side.url, _OF_USERS, lock_of("users", 1))
            assert first != second
            await projected(4)
            await asyncio.sleep(1)
            await projected(5)
    await assert_views_are_a_fresh_fold(roles.url, master_keys)


async def test_a_frozen_relay_is_replaced(roles: Roles, rabbit: RabbitNode) -> None:
    amqp = {"ROLLBOOK_AMQP_URL": rabbit.url}
    async with AsyncExitStack() as stack:
        side = await stack.enter_async_context(RelaySide.open(roles.url, rabbit.url))
        consumer = await stack.enter_async_context(outsider(side))
        for name in ("one", "two"):
            stack.enter_context(roles.running("relay", name, **amqp))
        await side.record(3)
        await side.wait_until_relayed()
        first = await leader(side.url, _LEADERS)
        with frozen(roles.processes[first]):
            await side.record(3)
            await side.wait_until_relayed(REPLACED_SECONDS)
        await side.record(3)
        await consumer.wait_for(await side.wait_until_relayed())
        assert consumer.first_deliveries == await positions_of(side)


@pytest.mark.long
async def test_the_jobs_and_builds_of_a_frozen_worker_are_done_by_another_one(
    roles: Roles,
) -> None:
    """An export and a rebuild, both in the middle of their work."""
    async with ExportWorld.open(roles.url) as world:
        for n in range(3):
            await world.views.record(user(n))
        with (
            roles.running("projector", "three"),
            roles.running("worker", "one"),
        ):
            await world.views.caught_up()
            with ExitStack() as freeze:
                async with standing_still(roles.url):
                    export = await world.ask(ExportSpec(format="csv", users=UserList()))
                    rebuild = await world.bench.submit("rebuild", {"projection": "users"})
                    for job in (export, rebuild):
                        await world.bench.wait_for(job, "running")
                    await filling(roles.url)
                    freeze.enter_context(frozen(roles.processes["one"]))
                began = monotonic()
                with roles.running("worker", "two"):
                    done: list[Job] = []
                    for job in (export, rebuild):
                        left = began + REPLACED_SECONDS - monotonic()
                        done.append(await world.bench.wait_for(job, timeout_seconds=left))
                    assert [(job.state, job.attempts) for job in done] == [("succeeded", 2)] * 2
                    freeze.close()
                    await asyncio.sleep(3)
            assert [await world.bench.jobs.job(job.id) for job in done] == done
        assert len(await world.file(done[0])) == 3
        generations = (
            "SELECT generation, state FROM generations WHERE projection = 'users' ORDER BY 1"
        )
        assert await execute(roles.url, generations) == [(1, "following"), (2, "following")]
        serving = "SELECT generation FROM projections WHERE name = 'users'"
        assert await execute(roles.url, serving) == [(2,)]


@asynccontextmanager
async def standing_still(url: str) -> AsyncGenerator[None]:
    """Neither an export nor a rebuild of the users gets any further."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("LOCK TABLE subject_keys, export_pieces IN ACCESS EXCLUSIVE MODE")
        yield


async def filling(url: str) -> None:
    query = "SELECT 1 FROM generations WHERE state = 'filling'"
    async with asyncio.timeout(10):
        while not await execute(url, query):
            await asyncio.sleep(0.02)


@pytest.mark.long
async def test_a_frozen_migration_is_replaced(empty_database_url: str) -> None:
    url = empty_database_url
    with psycopg.connect(url, autocommit=True) as session:
        upgrade(session, "0008")
    with migrating(url) as first, psycopg.connect(url) as dump:
        # The next migration alters this table: it holds the lock and waits.
        dump.execute("LOCK TABLE log IN ACCESS SHARE MODE")
        until(lambda: is_locked(url))
        await asyncio.sleep(0.5)
        with frozen(first.pid):
            dump.rollback()
            with migrating(url) as second:
                assert second.wait(timeout=REPLACED_SECONDS) == 0
        # Thawed, it finds that nothing is left to do.
        assert first.wait(timeout=REPLACED_SECONDS) == 0
    rows = await execute(url, "SELECT version_num FROM alembic_version")
    assert rows == [(newest(),)]


def is_locked(url: str) -> bool:
    """Whether a process holds the lock of migrations."""
    query = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (classid, objid) = (1383034987, 2)
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
        return row == (1,)


@contextmanager
def migrating(url: str) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        rollbook_command("migrate"),
        env=rollbook_environment(ROLLBOOK_DATABASE_URL=url),
        cwd="/",
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
