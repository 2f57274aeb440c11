"""The kind of job that docs/jobs.md adds works as it is printed: on request and by its schedule."""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from application.jobs.model import Job, JobKind, JobQuery, Jobs
from tests.support.documents import listings
from tests.support.jobs.jobs import Bench

PRINTED, SUBMISSION = listings("jobs.md", "python")


class Groups:
    async def counted(self) -> AsyncIterator[int]:
        for number in (3, 0, 2):
            yield number


@pytest.fixture
async def bench(database_url: str) -> AsyncGenerator[Bench]:
    async with Bench.in_postgres(database_url) as bench:
        yield bench


@pytest.fixture
def recount(monkeypatch: pytest.MonkeyPatch) -> JobKind:
    module = ModuleType("recount")
    monkeypatch.setitem(sys.modules, "recount", module)
    exec(compile(PRINTED, "jobs.md", "exec"), module.__dict__)
    kind: JobKind = module.__dict__["recount_jobs"](Groups())
    return kind


async def submitted(jobs: Jobs) -> Job:
    """The job that the printed line submits."""
    names: dict[str, Any] = {}
    lines = "".join(f"    {line}\n" for line in SUBMISSION.splitlines())
    exec(f"async def submit(jobs, context):\n{lines}    return job", names)
    job: Job = await names["submit"](jobs, SimpleNamespace(actor="token:admin"))
    return job


async def test_the_printed_job_runs_on_request(bench: Bench, recount: JobKind) -> None:
    job = await submitted(bench.jobs)
    assert (await submitted(bench.jobs)).id == job.id
    async with bench.working(recount):
        ended = await bench.wait_for(job)
    assert (ended.state, ended.result) == ("succeeded", {"groups": 3, "members": 5})
    assert (ended.progress.done, ended.actor) == (3, "token:admin")


async def test_its_schedule_submits_it_without_a_request(bench: Bench, recount: JobKind) -> None:
    """03:41 was less than a day ago."""
    async with bench.working(recount), asyncio.timeout(15):
        while not (found := (await bench.jobs.jobs(JobQuery())).items):
            await asyncio.sleep(0.05)
        ended = await bench.wait_for(found[0])
    assert (ended.kind, ended.actor, ended.arguments) == ("recount", "system:schedule", {})
    assert (ended.state, ended.result) == ("succeeded", {"groups": 3, "members": 5})
