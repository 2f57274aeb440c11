"""Jobs that wait hold no place: other jobs of their class and of other classes go on."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.erasure.coverage import Coverage
from application.erasure.sweep import run_erasures
from application.errors import Unavailable
from application.jobs.maintenance import purge_jobs
from application.jobs.model import Job, JobQuery, JobRun
from infrastructure.database import Database
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.housekeeping.postgres import PostgresHousekeeping
from infrastructure.jobs.swept import PostgresSweptJobs
from tests.support.jobs.jobs import Bench, echo, endless, kind
from tests.support.run.background import in_background
from tests.support.servers.postgres import scaled
from tests.support.views.erasing import FixedViews

# An idle machine needs a tenth of it.
BEGIN_SECONDS = 2.0


@pytest.fixture
async def bench(database_url: str) -> AsyncGenerator[Bench]:
    async with Bench.in_postgres(database_url) as bench:
        yield bench


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    async with Database.open(database_url) as database:
        yield database


async def erasure_at(bench: Bench, position: int) -> Job:
    arguments = {
        "user_id": str(uuid7()),
        "position": position,
        "erased_at": datetime.now(UTC).isoformat(),
    }
    return await bench.submit("erasure", arguments)


async def test_erasures_that_cannot_complete_hold_up_no_other_job(
    bench: Bench, database: Database
) -> None:
    views = FixedViews()
    views.move(10)
    sweep = run_erasures(Coverage(views, None, MemoryDoorbell()), PostgresSweptJobs(database))
    kinds = (
        replace(purge_jobs(PostgresHousekeeping(database)), schedule=None),
        kind(echo, "export"),
        kind(echo, "rebuild"),
        kind(echo, "work"),
    )
    waiting = [await erasure_at(bench, 11) for _ in range(scaled(300))]
    async with bench.working(*kinds, places=2), in_background(sweep):
        await bench.wait_until(waiting[-1], lambda job: job.error is not None)
        others = [await bench.submit(each.name) for each in kinds]
        for job in others:
            done = await bench.wait_for(job)
            assert done.state == "succeeded"
            assert done.started_at is not None
            assert (done.started_at - done.created_at).total_seconds() < BEGIN_SECONDS
        others.append(await bench.wait_for(await erasure_at(bench, 10)))
        ended = (await bench.jobs.jobs(JobQuery(states=("succeeded",), limit=50))).items
        assert {job.id for job in ended} == {job.id for job in others}
        assert (await bench.wait_for(waiting[0], "queued")).progress.total == 7
        cancelled = await bench.jobs.cancel(waiting.pop().id)
        # The others keep their ids, and each gets its receipt once its views have moved.
        views.move(11)
        for job in waiting:
            done = await bench.wait_for(job)
            assert (done.result or {})["position"] == 11
    assert cancelled is not None
    assert (await bench.wait_for(cancelled)).state == "cancelled"


async def test_jobs_that_wait_stand_behind_all_others(bench: Bench) -> None:
    """Jobs that have runs, and only wait in each, as a rebuild does while another one runs."""

    async def wait(run: JobRun) -> dict[str, Any]:
        raise Unavailable

    async with bench.working(kind(wait, "waits"), kind(echo), places=1):
        waiting = [await bench.submit("waits") for _ in range(50)]
        await bench.wait_until(waiting[-1], lambda job: job.attempts > 0)
        done = await bench.wait_for(await bench.submit("work"))
        assert done.started_at is not None
        assert (done.started_at - done.created_at).total_seconds() < BEGIN_SECONDS


async def test_a_class_of_jobs_takes_no_place_of_another(bench: Bench) -> None:
    async with bench.working(
        kind(endless, "export"), kind(endless, "rebuild"), kind(echo, "work"), places=2
    ):
        busy = [await bench.submit(name) for name in ("export", "rebuild") for _ in range(4)]
        await asyncio.sleep(0.3)
        done = await bench.wait_for(await bench.submit("work"))
        states = [(await bench.wait_for(job, "running", "queued")).state for job in busy]
    assert done.state == "succeeded"
    assert [states[:4].count("running"), states[4:].count("running")] == [1, 2]
