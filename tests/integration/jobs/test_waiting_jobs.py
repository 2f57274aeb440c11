"""Jobs that wait hold no place: other jobs of their class and of other classes go on."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.erasure.coverage import Coverage
from application.erasure.service import erasure_jobs
from application.jobs.maintenance import purge_jobs
from application.jobs.model import Job, JobQuery, JobRun
from infrastructure.database import Database
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.housekeeping.postgres import PostgresHousekeeping
from tests.support.jobs.jobs import Bench, echo, endless, kind
from tests.support.views.erasing import FixedViews


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
    flaky_runs: list[int] = []

    async def flaky(run: JobRun) -> dict[str, Any]:
        flaky_runs.append(run.attempt)
        if run.attempt < 2:
            raise ValueError
        return {}

    kinds = (
        erasure_jobs(Coverage(views, None, MemoryDoorbell())),
        replace(purge_jobs(PostgresHousekeeping(database)), schedule=None),
        kind(echo, "export"),
        kind(echo, "rebuild"),
        kind(flaky, "work"),
    )
    waiting = [await erasure_at(bench, 11) for _ in range(300)]
    async with bench.working(*kinds, places=2):
        await bench.wait_until(waiting[-1], lambda job: job.attempts > 0)
        others = [
            await erasure_at(bench, 10),
            await bench.submit("export"),
            await bench.submit("rebuild"),
            await bench.submit("purge"),
            await bench.submit("work"),
        ]
        for job in others:
            assert (await bench.wait_for(job, timeout_seconds=8)).state == "succeeded"
        still = (await bench.jobs.jobs(JobQuery(states=("succeeded",), limit=50))).items
        assert {job.id for job in still} == {job.id for job in others}
        # They keep their ids, and each gets its receipt once its views have moved.
        views.move(11)
        for job in waiting:
            done = await bench.wait_for(job, timeout_seconds=60)
            assert (done.result or {})["position"] == 11
    assert flaky_runs == [1, 2]


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
