"""Several generations of a projection: which serves, which are followed, and which are dropped."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from application.jobs.model import JobCancelled, JobRun
from application.log.event_log import Draft
from application.projector.generations import RebuildUnderWay
from application.projector.rebuild_jobs import rollback_jobs
from domain.user.events import PreviousName, UserErased, UserRegistered, UserRenamed
from infrastructure.database import Database
from infrastructure.views.generations.erasures import PostgresErasedViews
from infrastructure.views.generations.expiry import PostgresExpiredGenerations
from projections.registry import PROJECTIONS
from tests.support.log.drafts import context
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url, [*PROJECTIONS, NEWCOMERS]) as rebuilder:
        async with rebuilder.projecting():
            yield rebuilder


def registered(name: str = "Zoë") -> UserRegistered:
    return UserRegistered(name=name, email=f"{name}@example.org", role="member")


async def renamed(rebuilder: Rebuilder, stream: UUID, name: str, after: int = 1) -> None:
    event = UserRenamed(name=name, previous=PreviousName("?"))
    await append(rebuilder, stream, event, after)


async def append(rebuilder: Rebuilder, stream: UUID, event: Any, after: int) -> None:
    log = rebuilder.read_side.events.log
    draft = Draft(
        kind="user",
        stream=stream,
        after_version=after,
        events=(event,),
        context=context(),
        key=(await log.load(stream)).key,
        destroy_key=isinstance(event, UserErased),
    )
    await log.append(draft)


async def serving(rebuilder: Rebuilder) -> int:
    return (await rebuilder.read_side.queries.progress("users")).generation


async def roll_back(rebuilder: Rebuilder, **arguments: Any) -> dict[str, Any]:
    run = JobRun(uuid7(), {"projection": "users", **arguments}, "test", 1)
    projections = rebuilder.projections.values()
    kind = rollback_jobs(projections, rebuilder.ports.generations, rebuilder.previous_generations)
    return await kind.run(run)


async def test_the_previous_generation_is_current_and_serves_again_at_once(
    rebuilder: Rebuilder,
) -> None:
    stream = await rebuilder.read_side.record(registered("Zoë"))
    await rebuilder.caught_up()
    await rebuilder.rebuild()
    await renamed(rebuilder, stream, "Zoe")
    head = await rebuilder.caught_up()
    assert await roll_back(rebuilder, **{"from": 2, "to": 1})
    assert await serving(rebuilder) == 1
    answer = await rebuilder.read_side.queries.user(stream, at_least=head)
    assert answer.value is not None
    assert (answer.value.name, answer.position, answer.generation) == ("Zoe", head, 1)
    # A retry of a run that was already done changes nothing.
    await roll_back(rebuilder, **{"from": 2, "to": 1})
    assert await serving(rebuilder) == 1
    not_expiring = (
        "SELECT generation FROM generations WHERE projection = 'users' AND drop_after IS NULL"
    )
    assert await execute(rebuilder.url, not_expiring) == [(1,)]
    await roll_back(rebuilder, **{"from": 1, "to": 2})
    assert await serving(rebuilder) == 2


async def test_a_cancelled_rebuild_changes_nothing(rebuilder: Rebuilder) -> None:
    await rebuilder.read_side.record(registered())
    await rebuilder.caught_up()
    calls = 0

    async def report(done: int, total: int | None) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        await rebuilder.rebuild(report=report)
    assert await serving(rebuilder) == 1
    assert await rebuilder.generations() == [(1, "following")]
    assert (await rebuilder.rebuild())["generation"] == 3


async def test_two_jobs_cannot_rebuild_one_projection_at_once(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.views.generations.store._TIMEOUT_SECONDS", 0.3)
    users = rebuilder.projections["users"]
    async with rebuilder.ports.generations.build(users, "first"):
        with pytest.raises(RebuildUnderWay):
            await rebuilder.rebuild()
        assert (await rebuilder.rebuild("headcount"))["generation"] == 2
    assert (await rebuilder.rebuild())["generation"] == 2


async def test_a_paused_projection_stops_and_continues_after_a_resume(rebuilder: Rebuilder) -> None:
    admin = rebuilder.admin
    await rebuilder.read_side.record(registered("before"))
    await rebuilder.caught_up()
    await admin.pause("users", "a look at it", "token:admin")
    await asyncio.sleep(0.5)
    await rebuilder.read_side.record(registered("after"))
    await rebuilder.caught_up("headcount")
    users, headcount = (await rebuilder.read_side.queries.projections()).value
    assert (users.state, users.lag, headcount.state, headcount.lag) == ("paused", 1, "live", 0)
    await admin.resume("users")
    await rebuilder.caught_up()
    users, _ = (await rebuilder.read_side.queries.projections()).value
    assert users.state == "live"
    assert await rebuilder.differences() == []


async def test_a_rebuild_of_a_paused_projection_brings_it_to_where_it_began(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.views.generations.compare._TIMEOUT_SECONDS", 0.2)
    await rebuilder.read_side.record(registered("before"))
    await rebuilder.caught_up()
    await rebuilder.admin.pause("users", None, "token:admin")
    await asyncio.sleep(0.5)
    await rebuilder.read_side.record(registered("during"))
    assert (await rebuilder.rebuild())["switched"]
    await rebuilder.read_side.record(registered("after"))
    users, _ = (await rebuilder.read_side.queries.projections()).value
    assert (users.state, users.generation, users.lag) == ("paused", 2, 1)


async def test_an_old_generation_is_dropped_by_the_next_rebuild_or_after_a_day(
    rebuilder: Rebuilder,
) -> None:
    expired = PostgresExpiredGenerations(rebuilder.database)
    await rebuilder.rebuild()
    assert await expired.drop_expired() == []
    await _make_older(rebuilder, "23 hours 59 minutes")
    assert await expired.drop_expired() == []
    await _make_older(rebuilder, "2 minutes")
    assert await expired.drop_expired() == ["users/1"]
    await rebuilder.rebuild()
    await rebuilder.rebuild()
    # It served a moment ago, so a caller may be reading it.
    assert await expired.drop_expired() == []
    assert len(await rebuilder.generations()) == 3
    await _make_older(rebuilder, "61 seconds")
    assert await expired.drop_expired() == ["users/2"]
    assert await rebuilder.generations() == [(3, "following"), (4, "following")]
    assert await serving(rebuilder) == 4


async def test_a_drop_waits_for_a_reader_of_the_table(rebuilder: Rebuilder) -> None:
    await rebuilder.rebuild()
    await _make_older(rebuilder, "25 hours")
    async with await psycopg.AsyncConnection.connect(rebuilder.url) as reader:
        await reader.execute("SELECT count(*) FROM users_g1")
        dropping = asyncio.create_task(
            PostgresExpiredGenerations(rebuilder.database).drop_expired()
        )
        await asyncio.sleep(1)
        assert not dropping.done()
    assert await dropping == ["users/1"]


async def test_an_erasure_during_a_rebuild_leaves_nothing_in_clear(rebuilder: Rebuilder) -> None:
    """The new generation has a checkpoint before it reads, and it blanks the person."""
    stream = await rebuilder.read_side.record(registered("Secret"))
    await rebuilder.caught_up()
    erased = asyncio.Event()

    async def report(done: int, total: int | None) -> None:
        if done and not erased.is_set():
            # Read in clear, and not stored yet.
            erased.set()
            await append(rebuilder, stream, UserErased(), 1)
            async with Database.open(rebuilder.url) as database:
                views = await PostgresErasedViews(database).generations()
            counted = {view.generation: view for view in views}
            # An erasure that waits for all views also waits for the new generation.
            assert (counted[2].position < 2, counted[2].serves) == (True, False)

    rebuilt = await rebuilder.rebuild(report=report)
    assert erased.is_set()
    await rebuilder.caught_up()
    rows = await execute(rebuilder.url, "SELECT name, email, status FROM users_g2")
    assert rows == [(None, None, "erased")]
    assert rebuilt["compared"]["differing"] == 0


async def _make_older(rebuilder: Rebuilder, by: str) -> None:
    await execute(
        rebuilder.url,
        f"""UPDATE generations SET drop_after = drop_after - interval '{by}',
        retired_at = retired_at - interval '{by}'""",
    )
