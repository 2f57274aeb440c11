"""A rebuild whose process is killed at any moment continues at its place and leaves nothing."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from application.projector.generations import RebuildUnderWay
from domain.user.events import PreviousName, UserRegistered, UserRenamed
from infrastructure.views.generations.expiry import PostgresExpiredGenerations
from tests.support.servers.rollbook import rollbook_environment
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder

USER_COUNT = 40

# Stops itself in the middle of its first batch.
FREEZES = """
import asyncio, os, signal, sys
from infrastructure.views.generations import build
from tests.support.processes.rebuild import main

async def freeze(connection, statement, lines):
    async with connection.cursor().copy(statement.encode()) as copy:
        for line in lines:
            os.kill(os.getpid(), signal.SIGSTOP)
            await copy.write(line)

build._copy = freeze
asyncio.run(main(sys.argv[1], "always"))
"""


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url) as rebuilder, rebuilder.projecting():
        for n in range(USER_COUNT):
            registered = UserRegistered(name=f"N{n}", email=f"n{n}@example.org", role="member")
            renamed = UserRenamed(name=f"M{n}", previous=PreviousName(f"N{n}"))
            await rebuilder.read_side.record(registered, renamed, stream=uuid7())
        await rebuilder.caught_up()
        yield rebuilder


async def kill_after(url: str, what: str, times: int, switch_if: str = "always") -> None:
    """Run a rebuild in a process and kill it after it has printed `what` so many times."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "tests.support.processes.rebuild",
        url,
        switch_if,
        env=rollbook_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while times and (line := await process.stdout.readline()):
                times -= line.decode().strip() == what
        assert not times, f"the process ended before it printed {what}"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("what", "times", "built"),
    [
        pytest.param("store", 1, 2, marks=pytest.mark.long),
        ("store", 4, 2),
        pytest.param("index", 1, 2, marks=pytest.mark.long),
        pytest.param("follow", 1, 2, marks=pytest.mark.long),
        pytest.param("followed", 1, 2, marks=pytest.mark.long),
        ("switch", 1, 2),
        pytest.param("switched", 1, 2, marks=pytest.mark.long),
    ],
)
async def test_a_killed_rebuild_continues_at_its_place(
    rebuilder: Rebuilder, what: str, times: int, built: int
) -> None:
    await kill_after(rebuilder.url, what, times)
    done = "SELECT filled_events FROM generations WHERE projection = 'users' AND generation = 2"
    before = (await execute(rebuilder.url, done))[0][0]
    assert (before > 0) == ((what, times) != ("store", 1))
    rebuilt = await rebuilder.rebuild(by="test")
    assert (rebuilt["generation"], rebuilt["events"]) == (built, 2 * USER_COUNT)
    assert (await rebuilder.read_side.queries.progress("users")).generation == built
    assert await rebuilder.generations() == [(1, "following"), (built, "following")]
    await rebuilder.caught_up()
    assert await rebuilder.differences() == []


async def test_a_rebuild_by_other_code_starts_over(rebuilder: Rebuilder) -> None:
    """A generation that another release has half built is not continued."""
    await kill_after(rebuilder.url, "store", 3)
    await execute(rebuilder.url, "UPDATE generations SET built_with = 'older'")
    rebuilt = await rebuilder.rebuild(by="test")
    assert (rebuilt["generation"], rebuilt["events"]) == (3, 2 * USER_COUNT)
    assert await rebuilder.generations() == [(1, "following"), (3, "following")]
    assert await rebuilder.differences() == []
    gone = await execute(rebuilder.url, "SELECT to_regclass('users_g2') IS NULL")
    assert gone == [(True,)]


async def test_the_generation_of_a_killed_rebuild_is_dropped_after_ten_minutes(
    rebuilder: Rebuilder,
) -> None:
    await kill_after(rebuilder.url, "store", 3)
    expired = PostgresExpiredGenerations(rebuilder.database)
    assert await expired.drop_expired() == []
    await execute(
        rebuilder.url, "UPDATE generations SET touched_at = now() - interval '11 minutes'"
    )
    assert await expired.drop_expired() == ["users/2"]
    left = "SELECT count(*) FROM checkpoints WHERE projection = 'users'"
    assert await execute(rebuilder.url, left) == [(1,)]
    assert (await rebuilder.read_side.queries.progress("users")).generation == 1


async def retried(rebuilder: Rebuilder) -> dict[str, Any]:
    """Rebuild as a job does, which is run again while another builder leads."""
    while True:
        with suppress(RebuildUnderWay, Unavailable):
            return await rebuilder.rebuild(by="test")


async def test_a_rebuild_that_freezes_in_the_middle_of_a_batch_is_replaced(
    rebuilder: Rebuilder,
) -> None:
    """In the middle of a COPY no idle timeout runs, and its transaction has locks."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", FREEZES, rebuilder.url],
        env=rollbook_environment(),
    )
    try:
        await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
        async with asyncio.timeout(15):
            rebuilt = await retried(rebuilder)
        process.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(process.wait, 20) != 0
    finally:
        process.kill()
        process.wait()
    assert (rebuilt["generation"], rebuilt["events"]) == (2, 2 * USER_COUNT)
    assert await rebuilder.generations() == [(1, "following"), (2, "following")]
    assert await rebuilder.differences() == []
