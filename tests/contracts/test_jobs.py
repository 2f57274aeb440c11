"""The contract of jobs: those in Postgres with their workers, and their double in memory."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from application.jobs.model import Job, JobFailed, JobQuery, JobRun, Progress
from tests.support.jobs.jobs import Bench, echo, endless, kind


async def test_a_job_waits_until_a_worker_runs_it(bench: Bench) -> None:
    submitted = await bench.jobs.submit("work", {"n": [1, {"a": None}]}, actor="token:ada")
    assert await bench.jobs.job(submitted.id) == submitted
    assert submitted == Job(
        id=submitted.id,
        kind="work",
        state="queued",
        arguments={"n": [1, {"a": None}]},
        actor="token:ada",
        progress=Progress(),
        created_at=submitted.created_at,
    )
    async with bench.working(kind(echo)):
        done = await bench.wait_for(submitted)
    assert (done.state, done.result, done.error) == ("succeeded", {"n": [1, {"a": None}]}, None)
    assert done.attempts == 1
    assert done.started_at is not None
    assert done.finished_at is not None
    assert done.created_at <= done.started_at <= done.finished_at


async def test_a_run_knows_its_job(bench: Bench) -> None:
    async def echo_run(run: JobRun) -> dict[str, Any]:
        return {"id": str(run.id), "actor": run.actor, "attempt": run.attempt, **run.arguments}

    submitted = await bench.submit("work", {"n": 1})
    async with bench.working(kind(echo_run)):
        done = await bench.wait_for(submitted)
    assert done.result == {"id": str(submitted.id), "actor": "token:test", "attempt": 1, "n": 1}


async def test_an_unknown_job_is_not_found(bench: Bench) -> None:
    assert await bench.jobs.job(uuid7()) is None
    assert await bench.jobs.cancel(uuid7()) is None


async def test_a_worker_ignores_jobs_of_unknown_kinds(bench: Bench) -> None:
    other, known = await bench.submit("other"), await bench.submit("work")
    async with bench.working(kind(echo)):
        await bench.wait_for(known)
        await asyncio.sleep(0.1)
        assert (await bench.wait_for(other, "queued")).attempts == 0


async def test_jobs_run_in_order_and_no_more_at_once_than_there_are_places(
    bench: Bench,
) -> None:
    started: list[int] = []
    running = max_running = 0

    async def work(run: JobRun) -> dict[str, Any]:
        nonlocal running, max_running
        started.append(run.arguments["n"])
        running += 1
        max_running = max(max_running, running)
        await asyncio.sleep(0.02)
        running -= 1
        return {}

    submitted = [await bench.submit("work", {"n": n}) for n in range(8)]
    async with bench.working(kind(work), places=2):
        for job in submitted:
            await bench.wait_for(job)
    assert (started, max_running) == (list(range(8)), 2)


async def test_a_job_that_is_to_be_first_runs_before_those_that_were_queued(bench: Bench) -> None:
    started: list[int] = []

    async def work(run: JobRun) -> dict[str, Any]:
        started.append(run.arguments["n"])
        return {}

    submitted = [
        await bench.jobs.submit("work", {"n": n}, actor="token:test", first=n == 3)
        for n in range(5)
    ]
    async with bench.working(kind(work), places=1):
        for job in submitted:
            await bench.wait_for(job)
    assert started == [3, 0, 1, 2, 4]


async def test_a_repeated_submit_finds_the_unfinished_job(bench: Bench) -> None:
    first = await bench.submit("work", {"n": 1}, once="same")
    assert await bench.submit("work", {"n": 2}, once="same") == first
    others = [
        await bench.submit("work", once="another"),
        await bench.submit("other", once="same"),
        await bench.submit("work"),
        await bench.submit("work"),
    ]
    assert len({first.id, *(job.id for job in others)}) == 5
    async with bench.working(kind(endless)):
        running = await bench.wait_for(first, "running")
        assert (await bench.submit("work", once="same")).id == running.id
        await bench.jobs.cancel(first.id)
        await bench.wait_for(first, "cancelled")
        assert (await bench.submit("work", once="same")).id != first.id


async def test_concurrent_submits_with_the_same_key_get_the_same_job(bench: Bench) -> None:
    jobs = await asyncio.gather(*(bench.submit("work", {"n": n}, once="x") for n in range(20)))
    assert len({job.id for job in jobs}) == 1
    async with bench.working(kind(echo)):
        await bench.wait_for(jobs[0])
    assert len((await bench.jobs.jobs(JobQuery())).items) == 1


async def test_a_run_reports_its_progress_and_rate(bench: Bench) -> None:
    may_continue = asyncio.Event()

    async def work(run: JobRun) -> dict[str, Any]:
        await run.report(100, 500)
        await asyncio.sleep(0.2)
        await run.report(300, 500)
        await may_continue.wait()
        await run.report(500, 500)
        return {}

    submitted = await bench.submit("work")
    async with bench.working(kind(work)):
        progress = (
            await bench.wait_until(submitted, lambda job: job.progress.done == 300)
        ).progress
        assert progress.total == 500
        assert progress.rate is not None
        assert 20 < progress.rate < 1100
        assert progress.eta_seconds == pytest.approx(200 / progress.rate)
        may_continue.set()
        progress = (await bench.wait_for(submitted)).progress
    assert (progress.done, progress.total, progress.eta_seconds) == (500, 500, None)


async def test_a_failed_run_is_retried_and_shows_its_error(bench: Bench) -> None:
    errors: list[str | None] = []

    async def work(run: JobRun) -> dict[str, Any]:
        errors.append((await bench.wait_for(run.id, "running")).error)
        if run.attempt < 3:
            raise ValueError("ada@example.org is what failed")
        return {"attempt": run.attempt}

    submitted = await bench.submit("work")
    async with bench.working(kind(work, tries=3)):
        done = await bench.wait_for(submitted)
    assert errors[0] is None
    assert str(errors[1]).startswith("ValueError (test_jobs.py:")
    assert (done.state, done.result, done.error) == ("succeeded", {"attempt": 3}, None)
    assert done.attempts == 3


async def test_a_job_fails_after_its_last_retry(bench: Bench) -> None:
    async def work(_: JobRun) -> dict[str, Any]:
        raise ValueError("ada@example.org is what failed")

    submitted = await bench.submit("work")
    async with bench.working(kind(work, tries=2)):
        failed = await bench.wait_for(submitted)
        await asyncio.sleep(0.1)
        assert await bench.jobs.job(submitted.id) == failed
    assert (failed.state, failed.attempts, failed.result) == ("failed", 2, None)
    assert failed.error is not None
    assert "ada" not in failed.error


async def test_a_job_that_cannot_succeed_is_not_retried(bench: Bench) -> None:
    async def work(_: JobRun) -> dict[str, Any]:
        raise JobFailed("There is no such projection.")

    submitted = await bench.submit("work")
    async with bench.working(kind(work)):
        failed = await bench.wait_for(submitted)
    assert (failed.state, failed.attempts) == ("failed", 1)
    assert failed.error == "There is no such projection."


async def test_an_outage_of_a_dependency_does_not_count_as_a_try(bench: Bench) -> None:
    errors: list[str | None] = []

    async def work(run: JobRun) -> dict[str, Any]:
        errors.append((await bench.wait_for(run.id, "running")).error)
        if run.attempt < 4:
            raise Unavailable
        return {}

    submitted = await bench.submit("work")
    async with bench.working(kind(work, tries=1)):
        done = await bench.wait_for(submitted)
    error = "Unavailable: The event store cannot be reached; nothing was recorded."
    assert errors == [None, error, error, error]
    assert (done.state, done.attempts) == ("succeeded", 4)


@pytest.mark.parametrize("result", [{"x": object()}, {"x": float("nan")}])
async def test_a_result_that_is_no_json_is_a_failure(bench: Bench, result: dict[str, Any]) -> None:
    async def work(_: JobRun) -> dict[str, Any]:
        return result

    submitted = await bench.submit("work")
    async with bench.working(kind(work, tries=1)):
        failed = await bench.wait_for(submitted)
    assert failed.state == "failed"


async def test_a_list_shows_the_newest_first_in_pages_and_by_state(bench: Bench) -> None:
    done = [await bench.submit("work") for _ in range(3)]
    async with bench.working(kind(echo)):
        for job in done:
            await bench.wait_for(job)
    waiting = [await bench.submit("work") for _ in range(3)]
    newest_first = [job.id for job in reversed([*done, *waiting])]

    async def listed(query: JobQuery) -> tuple[list[UUID], UUID | None]:
        page = await bench.jobs.jobs(query)
        return [job.id for job in page.items], page.next

    assert await listed(JobQuery()) == (newest_first, None)
    assert await listed(JobQuery(limit=6)) == (newest_first, None)
    first, after = await listed(JobQuery(limit=4))
    assert (first, after) == (newest_first[:4], newest_first[3])
    assert await listed(JobQuery(limit=4, before=after)) == (newest_first[4:], None)
    assert await listed(JobQuery(states=("succeeded",))) == (newest_first[3:], None)
    assert await listed(JobQuery(states=("queued", "succeeded"), limit=5)) == (
        newest_first[:5],
        newest_first[4],
    )
    assert await listed(JobQuery(states=("failed", "cancelled"))) == ([], None)


async def test_a_job_with_a_given_id_is_submitted_once(bench: Bench) -> None:
    job_id = uuid7()
    first = await bench.jobs.submit("work", {"n": 1}, actor="token:a", job_id=job_id)
    again = await bench.jobs.submit("work", {"n": 1}, actor="token:a", job_id=job_id)
    assert (first.id, again) == (job_id, first)
    async with bench.working(kind(echo)):
        done = await bench.wait_for(first)
    again = await bench.jobs.submit("work", {"n": 1}, actor="token:a", job_id=job_id)
    assert again == done
    assert len((await bench.jobs.jobs(JobQuery())).items) == 1


async def test_exports_are_listed_by_the_actor_that_requested_them(bench: Bench) -> None:
    mine = [await bench.jobs.submit("export", {}, actor="token:me") for _ in range(3)]
    await bench.jobs.submit("export", {}, actor="token:other")
    await bench.jobs.submit("work", {}, actor="token:me")
    await bench.jobs.cancel(mine[1].id)

    async def listed(query: JobQuery) -> tuple[list[UUID], UUID | None]:
        page = await bench.jobs.jobs(query)
        return [job.id for job in page.items], page.next

    ids = [job.id for job in reversed(mine)]
    assert await listed(JobQuery(exports_of="token:me")) == (ids, None)
    assert await listed(JobQuery(exports_of="token:me", limit=1)) == (ids[:1], ids[0])
    assert await listed(JobQuery(exports_of="token:me", before=ids[0])) == (ids[1:], None)
    cancelled = JobQuery(exports_of="token:me", states=("cancelled",))
    assert await listed(cancelled) == ([mine[1].id], None)
    assert await listed(JobQuery(exports_of="token:nobody")) == ([], None)
