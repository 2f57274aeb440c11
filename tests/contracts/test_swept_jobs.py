"""The contract of jobs without runs: in Postgres, and their double in memory."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from application.jobs.swept import SweptJobs, Waiting
from infrastructure.database import Database
from infrastructure.jobs.swept import PostgresSweptJobs
from tests.support.jobs.jobs import Bench, echo, kind

KIND = "erasure"
FIRST = UUID(int=0)
WAITING = Waiting(done=1, total=3, error="Not reached yet: two, three.")


@pytest.fixture
async def swept(bench: Bench, jobs_url: str | None) -> AsyncIterator[SweptJobs]:
    if jobs_url is None:
        yield bench.jobs  # pyright: ignore[reportReturnType]
        return
    async with Database.open(jobs_url) as database:
        yield PostgresSweptJobs(database)


async def test_unfinished_jobs_are_read_in_pages(bench: Bench, swept: SweptJobs) -> None:
    ids = [(await bench.submit(KIND, {"n": n})).id for n in range(3)]
    await bench.submit("work")
    first = await swept.unfinished(KIND, FIRST, 2)
    assert [(job.id, job.arguments, job.waiting) for job in first] == [
        (ids[0], {"n": 0}, None),
        (ids[1], {"n": 1}, None),
    ]
    assert [job.id for job in await swept.unfinished(KIND, ids[1], 2)] == ids[2:]
    await swept.succeed({ids[0]: {}}, 1)
    assert [job.id for job in await swept.unfinished(KIND, FIRST, 3)] == ids[1:]


async def test_a_job_shows_what_it_waits_for_until_it_succeeds(
    bench: Bench, swept: SweptJobs
) -> None:
    job = await bench.submit(KIND)
    await swept.note([job.id], WAITING)
    noted = await bench.wait_for(job, "queued")
    assert (noted.error, noted.progress.done, noted.progress.total) == (WAITING.error, 1, 3)
    assert (await swept.unfinished(KIND, FIRST, 1))[0].waiting == WAITING
    await swept.succeed({job.id: {"n": 1}}, 3)
    done = await bench.wait_for(job)
    assert (done.state, done.result, done.error) == ("succeeded", {"n": 1}, None)
    assert (done.progress.done, done.progress.total, done.attempts) == (3, 3, 1)
    assert done.finished_at is not None


async def test_a_finished_job_stays_as_it_is(bench: Bench, swept: SweptJobs) -> None:
    done, cancelled = await bench.submit(KIND), await bench.submit(KIND)
    await swept.succeed({done.id: {"n": 1}}, 1)
    assert (await bench.jobs.cancel(cancelled.id)) is not None
    before = [await bench.wait_for(job) for job in (done, cancelled)]
    await swept.note([done.id, cancelled.id], WAITING)
    await swept.succeed({done.id: {"n": 2}, cancelled.id: {"n": 2}}, 2)
    assert [await bench.jobs.job(job.id) for job in before] == before
    assert [job.state for job in before] == ["succeeded", "cancelled"]


async def test_no_worker_runs_a_swept_job(bench: Bench, swept: SweptJobs) -> None:
    job = await bench.submit(KIND)
    async with bench.working(kind(echo, "work")):
        await bench.wait_for(await bench.submit("work"))
    assert (await bench.wait_for(job, "queued")).attempts == 0
