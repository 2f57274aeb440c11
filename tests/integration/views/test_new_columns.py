"""Releases that add and remove columns of a view: each generation keeps its shape."""

import asyncio
from typing import Any, Final

import psycopg
import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.jobs.model import JobCancelled, JobQuery, JobRun
from application.projector.automatic_rebuild import ACTOR, Outdated, rebuild_outdated
from application.projector.generations import OlderRelease
from application.projector.rebuild import rebuild
from application.projector.rebuild_jobs import REBUILD, rebuild_jobs
from domain.user.events import PreviousName, UserRenamed
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.views.generations.serving import PostgresServingShapes
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.sql.shapes import Shapes
from projections.projection import Projection
from tests.integration.event_store.test_one_broken_user import FLIPPED
from tests.integration.views.test_generations import append
from tests.support.doubles.jobs import InMemoryJobs
from tests.support.doubles.notifications import InMemoryNotifications
from tests.support.views.directory import execute
from tests.support.views.histories import START, registered
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.releases import FIRST, SECOND, THIRD

RENAMED: Final = UserRenamed(name="Åsa", previous=PreviousName("Zoë"))
YAN: Final = registered(name="Yan", email="yan@example.com")


async def columns(url: str, generation: int) -> set[str]:
    rows = await execute(
        url,
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0",
        f"people_g{generation}",
    )
    return {name for (name,) in rows}


async def outdated(rebuilder: Rebuilder, projection: Projection[Any]) -> Outdated | None:
    return await PostgresServingShapes(rebuilder.database).outdated(projection)


async def test_a_new_column_comes_by_a_rebuild_and_the_serving_tables_stay_as_they_are(
    database_url: str,
) -> None:
    async with Rebuilder.open(database_url, [FIRST]) as old, old.projecting():
        zoe = await old.read_side.record(registered())
        await old.caught_up("people")
        assert await outdated(old, FIRST) is None
        before = await columns(database_url, 1)
    async with Rebuilder.open(database_url, [SECOND]) as new, new.projecting():
        # The new release follows the old generation meanwhile.
        await new.read_side.record(YAN)
        await append(new, zoe, RENAMED, 1)
        await new.caught_up("people")
        assert await columns(database_url, 1) == before
        rows = await execute(database_url, "SELECT name FROM people_g1 ORDER BY name")
        assert rows == [("Yan",), ("Åsa",)]
        found = await outdated(new, SECOND)
        assert found is not None
        assert (found.generation, set(found.columns)) == (1, {"email", "changes", "email_key"})
        made = await new.rebuild("people")
        assert (made["switched"], made["compared"]["differing"]) == (True, 0)
        rows = await execute(database_url, "SELECT name, email, changes FROM people_g2 ORDER BY 1")
        assert rows == [("Yan", "yan@example.com", 0), ("Åsa", "Zoe@Example.com", 0)]
        assert await outdated(new, SECOND) is None
        assert await new.differences(since=2) == []


async def test_a_process_of_the_release_before_neither_follows_nor_replaces_the_new_generation(
    database_url: str,
) -> None:
    async with (
        Rebuilder.open(database_url, [FIRST]) as old,
        Rebuilder.open(database_url, [SECOND]) as new,
        old.projecting(),
    ):
        await old.read_side.record(registered())
        async with new.projecting():
            await new.rebuild("people")
            await old.read_side.record(YAN)
            await new.caught_up("people")
            assert [slot.generation for slot in await old.slots.followed()] == [1]
            assert [slot.generation for slot in await new.slots.followed()] == [1, 2]
        for switch_if in ("always", "differing", "never"):
            with pytest.raises(OlderRelease):
                await old.rebuild("people", switch_if=switch_if)
        assert await outdated(old, FIRST) is None
        # It still reads the new generation: what a later release added is left out.
        slot = await Shapes(old.database).slot(FIRST, 2)
        assert slot.lacks == frozenset()
        rows = await execute(database_url, "SELECT name, email FROM people_g2 ORDER BY name")
        assert rows == [("Yan", "yan@example.com"), ("Zoë", "Zoe@Example.com")]


async def test_a_job_for_a_new_column_waits_for_a_worker_that_has_it(database_url: str) -> None:
    async with Rebuilder.open(database_url, [FIRST]) as old, old.projecting():
        await old.read_side.record(registered())
        kinds = rebuild_jobs(
            [FIRST], old.ports, InMemoryNotifications(MemoryDoorbell(), uuid7, lambda: START)
        )
        jobs = InMemoryJobs(uuid7, *kinds)
        for projection in (SECOND, THIRD):
            await rebuild_outdated([projection], PostgresServingShapes(old.database), jobs)
        [kind] = [kind for kind in kinds if kind.name == REBUILD]
        submitted = (await jobs.jobs(JobQuery())).items
        assert len(submitted) == 2
        for job in submitted:
            with pytest.raises(OlderRelease):
                await kind.run(JobRun(job.id, job.arguments, job.actor, 1))
        assert await old.generations("people") == [(1, "following")]


async def test_each_rebuild_is_submitted_once_for_all_workers_and_only_if_it_adds_something(
    database_url: str,
) -> None:
    async with Rebuilder.open(database_url, [FIRST]) as old:
        jobs = PostgresJobs(old.database, uuid7)
        serving = PostgresServingShapes(old.database)
        await rebuild_outdated([FIRST], serving, jobs)
        await asyncio.gather(*(rebuild_outdated([SECOND], serving, jobs) for _ in range(4)))
        rows = await execute(database_url, "SELECT kind, actor, arguments FROM jobs")
        wanted = ["changes", "email", "email_key"]
        assert rows == [
            (REBUILD, ACTOR, {"projection": "people", "revision": 1, "columns": wanted})
        ]


async def test_an_older_revision_and_a_missing_index_need_a_rebuild(database_url: str) -> None:
    async with Rebuilder.open(database_url, [FIRST]) as old:
        assert await outdated(old, replace(FIRST, revision=2)) == Outdated(1, ())
        more = replace(FIRST, indexes=(*FIRST.indexes, ("name", "id")))
        assert await outdated(old, more) == Outdated(1, ())
        fewer = replace(FIRST, indexes=())
        assert await outdated(old, fewer) is None


async def test_a_column_is_removed_with_a_new_revision(database_url: str) -> None:
    async with Rebuilder.open(database_url, [SECOND]) as old, old.projecting():
        zoe = await old.read_side.record(registered())
        await old.caught_up("people")
    async with Rebuilder.open(database_url, [THIRD]) as new, new.projecting():
        await append(new, zoe, RENAMED, 1)
        await new.read_side.record(YAN)
        await new.caught_up("people")
        # A removed column keeps its last value, and is empty for new people.
        rows = await execute(database_url, "SELECT name, joined IS NULL FROM people_g1 ORDER BY 1")
        assert rows == [("Yan", True), ("Åsa", False)]
        made = await new.rebuild("people")
        assert (made["switched"], made["compared"]["differing"]) == (True, 0)
        assert "joined" not in await columns(database_url, 2)
    async with Rebuilder.open(database_url, [SECOND]) as old:
        # The release before reads what both have.
        slot = await Shapes(old.database).slot(SECOND, 2)
        assert slot.lacks == {"joined", "changes", "email_key"}
        with pytest.raises(OlderRelease):
            await old.rebuild("people")


async def test_one_broken_person_blocks_no_new_column(database_url: str) -> None:
    async with Rebuilder.open(database_url, [FIRST]) as old:
        async with old.projecting():
            others = [await old.read_side.record(registered(name=f"N{n}")) for n in range(5)]
            broken = await old.read_side.record(YAN)
            await old.caught_up("people")
        await append(old, broken, replace(RENAMED, previous=PreviousName("Yan")), 1)
        await execute(database_url, FLIPPED, broken)
    async with Rebuilder.open(database_url, [SECOND]) as new, new.projecting():
        await new.caught_up("people")
        made = await new.rebuild("people")
        assert made["switched"]
        assert made["compared"]["parked"] == [str(broken)]
        rows = await execute(
            database_url, "SELECT id, name, email, shown FROM people_g2 WHERE shown ORDER BY name"
        )
        assert rows[:5] == [(one, f"N{n}", "Zoe@Example.com", True) for n, one in enumerate(others)]
        assert rows[5:] == [(broken, "Yan", None, True)]
        [parked] = (await new.admin.parked("people", 0, 10)).items
        assert (parked.stream, parked.version) == (broken, 2)


async def test_a_view_without_a_required_value_is_parked(database_url: str) -> None:
    def forgetful(view: Any, recorded: Any) -> Any:
        after: Any = evolve(view, recorded)
        return replace(after, name=None) if after and after.name == "Yan" else after

    evolve = FIRST.evolve
    broken = replace(FIRST, evolve=forgetful)
    async with Rebuilder.open(database_url, [broken]) as rebuilder, rebuilder.projecting():
        zoe, yan = [await rebuilder.read_side.record(each) for each in (registered(), YAN)]
        await rebuilder.caught_up("people")
        for generation in (1, 2):
            rows = await execute(database_url, f"SELECT id FROM people_g{generation} WHERE shown")
            assert rows == [(zoe,)]
            [parked] = (await rebuilder.admin.parked("people", 0, 10)).items
            assert (parked.stream, parked.error) == (yan, "name is required, and is null")
            await rebuilder.rebuild("people")


async def test_a_start_waits_for_no_reader_of_the_tables(database_url: str) -> None:
    await ensure_views(database_url, [FIRST])
    async with await psycopg.AsyncConnection.connect(database_url) as reader:
        await reader.execute("LOCK TABLE people_g1 IN ACCESS EXCLUSIVE MODE")
        await ensure_views(database_url, [SECOND], timeout_seconds=3)


async def test_a_cancelled_rebuild_for_a_new_column_leaves_the_old_generation(
    database_url: str,
) -> None:
    async def cancelled(done: int, total: int | None) -> None:
        raise JobCancelled

    async with Rebuilder.open(database_url, [FIRST]) as old:
        await old.read_side.record(registered())
    async with Rebuilder.open(database_url, [SECOND]) as new, new.projecting():
        with pytest.raises(JobCancelled):
            await rebuild(SECOND, str(uuid7()), new.ports, cancelled)
        assert await new.generations("people") == [(1, "following")]
        assert await outdated(new, SECOND) is not None
