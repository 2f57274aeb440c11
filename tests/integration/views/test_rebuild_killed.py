"""A rebuild whose process is killed, at any moment, goes on where it was and leaves nothing behind."""

import asyncio
import sys
from collections.abc import AsyncGenerator

import pytest
from uuid_utils.compat import uuid7

from application.projector.view_store import slots_of
from domain.user.events import PreviousName, UserRegistered, UserRenamed
from infrastructure.views.generations.expiry import PostgresRetired
from projections.users import USERS
from tests.support.servers.rollbook import rollbook_environment
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder

USERS_THERE = 40


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url) as rebuilder, rebuilder.projecting():
        for n in range(USERS_THERE):
            registered = UserRegistered(name=f"N{n}", email=f"n{n}@example.org", role="member")
            renamed = UserRenamed(name=f"M{n}", previous=PreviousName(f"N{n}"))
            await rebuilder.read_side.record(registered, renamed, stream=uuid7())
        await rebuilder.caught_up()
        yield rebuilder


async def killed_when_it_says(url: str, what: str, times: int) -> None:
    """A process that rebuilds, until it has said so for so many times."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "tests.support.processes.rebuild",
        url,
        env=rollbook_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while times and (line := await process.stdout.readline()):
                times -= line.decode().strip() == what
        assert not times, f"it ended before it said {what}"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("what", "times", "built"),
    [
        ("store", 1, 2),
        ("store", 4, 2),
        ("index", 1, 2),
        ("follow", 1, 2),
        ("followed", 1, 2),
        ("switch", 1, 2),
        ("switched", 1, 2),
    ],
)
async def test_a_killed_rebuild_goes_on_where_it_was(
    rebuilder: Rebuilder, what: str, times: int, built: int
) -> None:
    await killed_when_it_says(rebuilder.url, what, times)
    done = "SELECT filled_events FROM generations WHERE projection = 'users' AND generation = 2"
    before = (await execute(rebuilder.url, done))[0][0]
    assert (before > 0) == ((what, times) != ("store", 1))
    rebuilt = await rebuilder.rebuild(by="test")
    assert (rebuilt["generation"], rebuilt["events"]) == (built, 2 * USERS_THERE)
    assert (await rebuilder.read_side.queries.standing("users")).generation == built
    assert await rebuilder.generations() == [(1, "following"), (built, "following")]
    await rebuilder.caught_up()
    assert await rebuilder.differences() == []


async def test_other_code_begins_again(rebuilder: Rebuilder) -> None:
    """What another release has folded half is no beginning for this one."""
    await killed_when_it_says(rebuilder.url, "store", 3)
    await execute(rebuilder.url, "UPDATE generations SET built_with = 'older'")
    rebuilt = await rebuilder.rebuild(by="test")
    assert (rebuilt["generation"], rebuilt["events"]) == (3, 2 * USERS_THERE)
    assert await rebuilder.generations() == [(1, "following"), (3, "following")]
    assert await rebuilder.differences() == []
    gone = await execute(rebuilder.url, "SELECT to_regclass('users_g2') IS NULL")
    assert gone == [(True,)]


async def test_what_a_killed_rebuild_leaves_is_dropped_after_ten_minutes(
    rebuilder: Rebuilder,
) -> None:
    await killed_when_it_says(rebuilder.url, "store", 3)
    retired = PostgresRetired(rebuilder.url)
    assert await retired.drop_due() == []
    await execute(
        rebuilder.url, "UPDATE generations SET touched_at = now() - interval '11 minutes'"
    )
    assert await retired.drop_due() == ["users/2"]
    left = "SELECT count(*) FROM checkpoints WHERE projection = 'users'"
    assert await execute(rebuilder.url, left) == [(len(slots_of(USERS, 1, 1)),)]
    assert (await rebuilder.read_side.queries.standing("users")).generation == 1
