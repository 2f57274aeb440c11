"""Jobs that end early: by a cancel, or because their worker stops."""

import asyncio
from typing import Any

from application.jobs.model import JobRun
from tests.support.jobs.jobs import Bench, echo, endless, kind, silent


async def test_a_queued_job_is_cancelled_at_once_and_never_runs(bench: Bench) -> None:
    submitted = await bench.submit("work")
    cancelled = await bench.jobs.cancel(submitted.id)
    assert cancelled is not None
    assert (cancelled.state, cancelled.started_at) == ("cancelled", None)
    assert cancelled.finished_at is not None
    async with bench.working(kind(echo)):
        await bench.wait_for(await bench.submit("work"))
        assert await bench.jobs.job(submitted.id) == cancelled


async def test_a_running_job_is_cancelled_when_it_reports(bench: Bench) -> None:
    raised: list[str] = []

    async def work(run: JobRun) -> dict[str, Any]:
        try:
            return await endless(run)
        except BaseException as error:
            raised.append(type(error).__name__)
            raise

    submitted = await bench.submit("work")
    async with bench.working(kind(work)):
        await bench.wait_for(submitted, "running")
        answer = await bench.jobs.cancel(submitted.id)
        assert answer is not None
        assert answer.state in ("running", "cancelled")
        cancelled = await bench.wait_for(submitted, timeout_seconds=5)
    assert (cancelled.state, raised) == ("cancelled", ["JobCancelled"])
    assert cancelled.finished_at is not None


async def test_a_running_job_that_does_not_report_is_interrupted(bench: Bench) -> None:
    submitted = await bench.submit("work")
    async with bench.working(kind(silent)):
        await bench.wait_for(submitted, "running")
        await bench.jobs.cancel(submitted.id)
        assert (await bench.wait_for(submitted, timeout_seconds=5)).state == "cancelled"


async def test_cancelling_a_finished_job_changes_nothing(bench: Bench) -> None:
    submitted = await bench.submit("work")
    async with bench.working(kind(echo)):
        done = await bench.wait_for(submitted)
    assert await bench.jobs.cancel(submitted.id) == done
    cancelled = await bench.jobs.cancel((await bench.submit("work")).id)
    assert cancelled is not None
    assert await bench.jobs.cancel(cancelled.id) == cancelled


async def test_a_job_that_fails_while_it_is_being_cancelled_is_not_retried(
    bench: Bench,
) -> None:
    async def work(run: JobRun) -> dict[str, Any]:
        try:
            return await endless(run)
        except BaseException:
            raise ValueError from None

    submitted = await bench.submit("work")
    async with bench.working(kind(work)):
        await bench.wait_for(submitted, "running")
        await bench.jobs.cancel(submitted.id)
        cancelled = await bench.wait_for(submitted)
    assert (cancelled.state, cancelled.attempts) == ("cancelled", 1)


async def test_a_stopping_worker_lets_runs_end_and_requeues_the_others(bench: Bench) -> None:
    async def short(_: JobRun) -> dict[str, Any]:
        await asyncio.sleep(0.15)
        return {}

    short_job, long_job = await bench.submit("short"), await bench.submit("work")
    async with bench.working(kind(short, "short"), kind(silent, tries=1)):
        await bench.wait_for(short_job, "running")
        await bench.wait_for(long_job, "running")
        later = await bench.submit("later")
    assert (await bench.wait_for(short_job)).state == "succeeded"
    requeued = await bench.wait_for(long_job, "queued")
    assert (requeued.error, requeued.finished_at) == (None, None)
    assert (await bench.wait_for(later, "queued")).attempts == 0
    async with bench.working(kind(echo, tries=1)):
        done = await bench.wait_for(long_job)
    assert (done.state, done.attempts) == ("succeeded", 2)
