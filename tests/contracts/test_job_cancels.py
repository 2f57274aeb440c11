"""How jobs end before their time: by a cancel, or because their worker stops."""

import asyncio
from typing import Any

from application.jobs.model import JobRun
from tests.support.jobs.jobs import Bench, echo, endless, kind, silent


async def test_a_queued_job_is_cancelled_at_once_and_never_runs(bench: Bench) -> None:
    asked = await bench.submit("work")
    cancelled = await bench.jobs.cancel(asked.id)
    assert cancelled is not None
    assert (cancelled.state, cancelled.started_at) == ("cancelled", None)
    assert cancelled.finished_at is not None
    async with bench.working(kind(echo)):
        await bench.until(await bench.submit("work"))
        assert await bench.jobs.job(asked.id) == cancelled


async def test_a_running_job_hears_of_its_cancel_when_it_reports(bench: Bench) -> None:
    heard: list[str] = []

    async def work(run: JobRun) -> dict[str, Any]:
        try:
            return await endless(run)
        except BaseException as error:
            heard.append(type(error).__name__)
            raise

    asked = await bench.submit("work")
    async with bench.working(kind(work)):
        await bench.until(asked, "running")
        still = await bench.jobs.cancel(asked.id)
        assert still is not None
        assert still.state in ("running", "cancelled")
        cancelled = await bench.until(asked, timeout_seconds=5)
    assert (cancelled.state, heard) == ("cancelled", ["JobCancelled"])
    assert cancelled.finished_at is not None


async def test_a_running_job_that_does_not_report_is_cut_short(bench: Bench) -> None:
    asked = await bench.submit("work")
    async with bench.working(kind(silent)):
        await bench.until(asked, "running")
        await bench.jobs.cancel(asked.id)
        assert (await bench.until(asked, timeout_seconds=5)).state == "cancelled"


async def test_cancelling_a_finished_job_changes_nothing(bench: Bench) -> None:
    asked = await bench.submit("work")
    async with bench.working(kind(echo)):
        done = await bench.until(asked)
    assert await bench.jobs.cancel(asked.id) == done
    cancelled = await bench.jobs.cancel((await bench.submit("work")).id)
    assert cancelled is not None
    assert await bench.jobs.cancel(cancelled.id) == cancelled


async def test_a_job_that_fails_while_it_is_being_cancelled_is_not_tried_again(
    bench: Bench,
) -> None:
    async def work(run: JobRun) -> dict[str, Any]:
        try:
            return await endless(run)
        except BaseException:
            raise ValueError from None

    asked = await bench.submit("work")
    async with bench.working(kind(work)):
        await bench.until(asked, "running")
        await bench.jobs.cancel(asked.id)
        cancelled = await bench.until(asked)
    assert (cancelled.state, cancelled.attempts) == ("cancelled", 1)


async def test_a_worker_that_stops_lets_runs_end_and_puts_the_others_back(bench: Bench) -> None:
    async def short(_: JobRun) -> dict[str, Any]:
        await asyncio.sleep(0.15)
        return {}

    ends, lasts = await bench.submit("short"), await bench.submit("work")
    async with bench.working(kind(short, "short"), kind(silent, tries=1)):
        await bench.until(ends, "running")
        await bench.until(lasts, "running")
        later = await bench.submit("later")
    assert (await bench.until(ends)).state == "succeeded"
    back = await bench.until(lasts, "queued")
    assert (back.error, back.finished_at) == (None, None)
    assert (await bench.until(later, "queued")).attempts == 0
    async with bench.working(kind(echo, tries=1)):
        done = await bench.until(lasts)
    assert (done.state, done.attempts) == ("succeeded", 2)
