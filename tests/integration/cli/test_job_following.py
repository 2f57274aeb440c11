"""A command follows a job to its end, or until it is clear that no worker runs it."""

import asyncio
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from application.jobs.model import Job, JobKind, JobRun
from interfaces.cli.client import watch_job as watched_job
from interfaces.cli.client.follow_job import NoWorker, follow
from tests.support.doubles.jobs import InMemoryJobs


class Shown(watched_job.JobReport):
    def __init__(self) -> None:
        self.jobs: list[watched_job.Job] = []

    def show(self, job: watched_job.Job) -> None:
        self.jobs.append(job)


async def count_to_two(run: JobRun) -> dict[str, Any]:
    await run.report(1, 2)
    await asyncio.sleep(0.6)
    await run.report(2, 2)
    return {"counted": 2}


COUNTING = JobKind(name="counting", run=count_to_two)


async def test_a_job_is_shown_until_it_is_finished() -> None:
    jobs, shown = InMemoryJobs(uuid7, COUNTING), Shown()
    job = await jobs.submit("counting", {}, actor="test")
    async with jobs.working():
        ended = await follow(jobs, job, shown)
    assert (ended.state, ended.result) == ("succeeded", {"counted": 2})
    states = [each.state for each in shown.jobs]
    assert (states[0], states[-1]) == ("queued", "succeeded")
    assert "running" in states
    assert shown.jobs[-1].id == str(job.id)
    assert shown.jobs[-1].progress.done == 2


async def test_without_a_worker_it_warns_first_and_gives_up_later(
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs = InMemoryJobs(uuid7, COUNTING)
    job = await jobs.submit("counting", {}, actor="test")
    with pytest.raises(NoWorker, match="stays queued"):
        await follow(jobs, job, Shown(), warn_after=0.1, timeout_seconds=1.1)
    printed = capsys.readouterr().err
    assert printed == "rollbook: no worker has taken the job yet: is one running?\n"


class Away(InMemoryJobs):
    """Raises `Unavailable` for the first `looks` calls."""

    looks = 2

    async def job(self, job_id: Any) -> Job | None:
        self.looks -= 1
        if self.looks >= 0:
            raise Unavailable
        return await super().job(job_id)


async def test_it_waits_for_a_database_that_comes_back() -> None:
    jobs = Away(uuid7, COUNTING)
    job = await jobs.submit("counting", {}, actor="test")
    async with jobs.working():
        assert (await follow(jobs, job, Shown())).state == "succeeded"


async def test_it_gives_up_on_a_database_that_stays_away() -> None:
    jobs = Away(uuid7, COUNTING)
    jobs.looks = 1000
    job = await jobs.submit("counting", {}, actor="test")
    with pytest.raises(Unavailable):
        await follow(jobs, job, Shown(), warn_after=9, timeout_seconds=0.8)
