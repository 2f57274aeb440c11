"""A projection that this release does not have: it blocks erasures until it is dropped."""

import asyncio
from collections.abc import AsyncGenerator

import psycopg
import pytest

from application.erasure.coverage import Coverage
from application.erasure.sweep import sweep_erasures
from application.projector.unused import StillProjected, TablesInUse
from domain.user.events import UserErased
from infrastructure.database import Database
from infrastructure.jobs.swept import PostgresSweptJobs
from infrastructure.reactions.ledger import PostgresReactionLedger
from infrastructure.reactions.schedule import PostgresReactionSchedule
from infrastructure.relay.ledger import PostgresRelayLedger
from infrastructure.views.generations import stored
from infrastructure.views.generations.erasures import PostgresErasedViews
from infrastructure.views.generations.stored import PostgresStoredProjections
from interfaces.composition.projector import unused_projections
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import append, registered
from tests.support.jobs.jobs import Bench
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS

TABLES = "SELECT count(*) FROM pg_class WHERE relname LIKE 'newcomers%%'"
ROWS = """
SELECT (SELECT count(*) FROM projections WHERE name = 'newcomers'),
       (SELECT count(*) FROM checkpoints WHERE projection = 'newcomers'),
       (SELECT count(*) FROM generations WHERE projection = 'newcomers'),
       (SELECT count(*) FROM parked WHERE projection = 'newcomers'),
       (SELECT count(*) FROM skipped WHERE projection = 'newcomers')"""


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    """After an earlier release had the projection `newcomers`, in several generations."""
    earlier = [*PROJECTIONS, NEWCOMERS]
    async with Rebuilder.open(database_url, earlier) as rebuilder, rebuilder.projecting():
        await rebuilder.read_side.record(registered("good"))
        parked = await rebuilder.read_side.record(registered("bad"))
        for _ in range(3):
            await rebuilder.rebuild("newcomers")
        await rebuilder.caught_up("newcomers")
        await rebuilder.admin.skip("newcomers", parked, 1, "never", "token:admin")
        await rebuilder.read_side.record(registered("bad"))
        await rebuilder.caught_up("newcomers")
    async with Rebuilder.open(database_url) as rebuilder, rebuilder.projecting():
        yield rebuilder


async def test_it_is_dropped_with_all_that_is_stored_of_it(rebuilder: Rebuilder) -> None:
    unused = PostgresStoredProjections(rebuilder.database)
    assert await unused.names() == ["headcount", "newcomers", "users"]
    assert 0 not in (await execute(rebuilder.url, ROWS))[0]
    user = await rebuilder.read_side.record(registered("other"))
    head = await rebuilder.caught_up()
    views = PostgresErasedViews(rebuilder.database)
    assert min(view.position for view in await views.generations()) < head
    assert await unused.drop("newcomers")
    assert await execute(rebuilder.url, TABLES) == [(0,)]
    assert await execute(rebuilder.url, ROWS) == [(0, 0, 0, 0, 0)]
    assert await unused.names() == ["headcount", "users"]
    assert not await unused.drop("newcomers")
    # What an erasure compares is complete again, and the others go on.
    await append(rebuilder, user, registered("other"), 1)
    head = await rebuilder.caught_up("headcount")
    await rebuilder.caught_up()
    assert min(view.position for view in await views.generations()) == head


async def test_an_erasure_that_waits_for_it_completes_after_the_drop(rebuilder: Rebuilder) -> None:
    user = await rebuilder.read_side.record(registered("secret"))
    await append(rebuilder, user, UserErased(), 1)
    head = await rebuilder.caught_up()
    await rebuilder.caught_up("headcount")
    coverage = Coverage(PostgresErasedViews(rebuilder.database), None, rebuilder.read_side.doorbell)
    arguments = {"user_id": str(user), "position": head, "erased_at": "2026-03-01T00:00:00+00:00"}
    async with Bench.in_postgres(rebuilder.url) as bench:
        job, swept = await bench.submit("erasure", arguments), PostgresSweptJobs(rebuilder.database)
        await sweep_erasures(coverage, swept)
        waiting = await bench.wait_for(job, "queued")
        assert waiting.error is not None
        assert "views:newcomers/4" in waiting.error
        await PostgresStoredProjections(rebuilder.database).drop("newcomers")
        await sweep_erasures(coverage, swept)
        done = await bench.wait_for(job)
    assert (done.state, (done.result or {})["position"]) == ("succeeded", head)


async def test_what_a_process_of_another_release_projects_is_not_dropped(
    rebuilder: Rebuilder,
) -> None:
    unused = PostgresStoredProjections(rebuilder.database)
    async with Rebuilder.open(rebuilder.url, [NEWCOMERS]) as other, other.projecting():
        await rebuilder.read_side.record(registered("new"))
        await other.caught_up("newcomers")
        with pytest.raises(StillProjected):
            await unused.drop("newcomers")
    assert await unused.drop("newcomers")


async def test_a_drop_waits_briefly_for_a_reader_and_can_be_repeated(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_SECONDS", 0.5)
    unused = PostgresStoredProjections(rebuilder.database)
    async with await psycopg.AsyncConnection.connect(rebuilder.url) as reader:
        await reader.execute("SELECT count(*) FROM newcomers_g4")
        with pytest.raises(TablesInUse):
            await unused.drop("newcomers")
        assert (await execute(rebuilder.url, ROWS))[0][:2] != (0, 0)
        dropping = asyncio.create_task(unused.drop("newcomers"))
        await asyncio.sleep(0.1)
        await reader.rollback()
        assert await dropping
    assert await execute(rebuilder.url, TABLES) == [(0,)]


async def test_the_relay_and_the_reactions_are_no_projections(database_url: str) -> None:
    """A drop would delete their checkpoints."""
    async with Database.open(database_url) as database:
        reactions = PostgresReactionLedger(database, PostgresReactionSchedule(database))
        async with PostgresRelayLedger(database).lead(), reactions.lead([]):
            pass
        unused = unused_projections(database)
        assert await unused.names() == []
        stored = await PostgresStoredProjections(database).names()
        assert set(stored) <= set(unused.known)
        assert {"relay", "reactions"} <= set(stored)
