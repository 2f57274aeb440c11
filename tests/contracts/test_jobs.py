"""What jobs promise: those in Postgres with their workers, and their double in memory."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from application.jobs.model import Job, JobFailed, JobQuery, JobRun, Progress
from tests.support.jobs.jobs import Bench, echo, endless, kind


async def test_a_job_waits_until_a_worker_does_it(bench: Bench) -> None:
    asked = await bench.jobs.submit("work", {"n": [1, {"a": None}]}, actor="token:ada")
    assert await bench.jobs.job(asked.id) == asked
    assert asked == Job(
        id=asked.id,
        kind="work",
        state="queued",
        arguments={"n": [1, {"a": None}]},
        actor="token:ada",
        progress=Progress(),
        created_at=asked.created_at,
    )
    async with bench.working(kind(echo)):
        done = await bench.until(asked)
    assert (done.state, done.result, done.error) == ("succeeded", {"n": [1, {"a": None}]}, None)
    assert done.attempts == 1
    assert done.started_at is not None
    assert done.finished_at is not None
    assert done.created_at <= done.started_at <= done.finished_at


async def test_a_run_knows_its_job(bench: Bench) -> None:
    async def tell(run: JobRun) -> dict[str, Any]:
        return {"id": str(run.id), "actor": run.actor, "attempt": run.attempt, **run.arguments}

    asked = await bench.submit("work", {"n": 1})
    async with bench.working(kind(tell)):
        done = await bench.until(asked)
    assert done.result == {"id": str(asked.id), "actor": "token:test", "attempt": 1, "n": 1}


async def test_there_is_no_job_that_nobody_submitted(bench: Bench) -> None:
    assert await bench.jobs.job(uuid7()) is None
    assert await bench.jobs.cancel(uuid7()) is None


async def test_a_worker_leaves_alone_what_it_does_not_know(bench: Bench) -> None:
    other, known = await bench.submit("other"), await bench.submit("work")
    async with bench.working(kind(echo)):
        await bench.until(known)
        await asyncio.sleep(0.1)
        assert (await bench.until(other, "queued")).attempts == 0


async def test_jobs_are_taken_up_in_their_order_and_no_more_at_once_than_there_are_slots(
    bench: Bench,
) -> None:
    order: list[int] = []
    running = most = 0

    async def work(run: JobRun) -> dict[str, Any]:
        nonlocal running, most
        order.append(run.arguments["n"])
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return {}

    asked = [await bench.submit("work", {"n": n}) for n in range(8)]
    async with bench.working(kind(work), slots=2):
        for job in asked:
            await bench.until(job)
    assert (order, most) == (list(range(8)), 2)


async def test_while_a_job_is_unfinished_asking_once_more_finds_it(bench: Bench) -> None:
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
        running = await bench.until(first, "running")
        assert (await bench.submit("work", once="same")).id == running.id
        await bench.jobs.cancel(first.id)
        await bench.until(first, "cancelled")
        assert (await bench.submit("work", once="same")).id != first.id


async def test_of_many_who_ask_once_at_the_same_time_all_get_the_same_job(bench: Bench) -> None:
    jobs = await asyncio.gather(*(bench.submit("work", {"n": n}, once="x") for n in range(20)))
    assert len({job.id for job in jobs}) == 1
    async with bench.working(kind(echo)):
        await bench.until(jobs[0])
    assert len((await bench.jobs.jobs(JobQuery())).items) == 1


async def test_a_run_tells_how_far_and_how_fast_it_is(bench: Bench) -> None:
    goes_on = asyncio.Event()

    async def work(run: JobRun) -> dict[str, Any]:
        await run.report(100, 500)
        await asyncio.sleep(0.2)
        await run.report(300, 500)
        await goes_on.wait()
        await run.report(500, 500)
        return {}

    asked = await bench.submit("work")
    async with bench.working(kind(work)):
        progress = (await bench.when(asked, lambda job: job.progress.done == 300)).progress
        assert progress.total == 500
        assert progress.rate is not None
        assert 20 < progress.rate < 1100
        assert progress.eta_seconds == pytest.approx(200 / progress.rate)
        goes_on.set()
        progress = (await bench.until(asked)).progress
    assert (progress.done, progress.total, progress.eta_seconds) == (500, 500, None)


async def test_a_failed_run_is_tried_again_and_says_so(bench: Bench) -> None:
    said: list[str | None] = []

    async def work(run: JobRun) -> dict[str, Any]:
        said.append((await bench.until(run.id, "running")).error)
        if run.attempt < 3:
            raise ValueError("ada@example.org is what failed")
        return {"attempt": run.attempt}

    asked = await bench.submit("work")
    async with bench.working(kind(work, tries=3)):
        done = await bench.until(asked)
    assert said[0] is None
    assert str(said[1]).startswith("ValueError (test_jobs.py:")
    assert (done.state, done.result, done.error) == ("succeeded", {"attempt": 3}, None)
    assert done.attempts == 3


async def test_a_job_that_fails_as_often_as_it_may_has_failed(bench: Bench) -> None:
    async def work(_: JobRun) -> dict[str, Any]:
        raise ValueError("ada@example.org is what failed")

    asked = await bench.submit("work")
    async with bench.working(kind(work, tries=2)):
        failed = await bench.until(asked)
        await asyncio.sleep(0.1)
        assert await bench.jobs.job(asked.id) == failed
    assert (failed.state, failed.attempts, failed.result) == ("failed", 2, None)
    assert failed.error is not None
    assert "ada" not in failed.error


async def test_a_job_that_cannot_be_done_is_not_tried_again(bench: Bench) -> None:
    async def work(_: JobRun) -> dict[str, Any]:
        raise JobFailed("There is no such projection.")

    asked = await bench.submit("work")
    async with bench.working(kind(work)):
        failed = await bench.until(asked)
    assert (failed.state, failed.attempts) == ("failed", 1)
    assert failed.error == "There is no such projection."


async def test_an_outage_of_something_else_costs_no_try(bench: Bench) -> None:
    said: list[str | None] = []

    async def work(run: JobRun) -> dict[str, Any]:
        said.append((await bench.until(run.id, "running")).error)
        if run.attempt < 4:
            raise Unavailable
        return {}

    asked = await bench.submit("work")
    async with bench.working(kind(work, tries=1)):
        done = await bench.until(asked)
    error = "Unavailable: The event store cannot be reached; nothing was recorded."
    assert said == [None, error, error, error]
    assert (done.state, done.attempts) == ("succeeded", 4)


@pytest.mark.parametrize("result", [{"x": object()}, {"x": float("nan")}])
async def test_a_result_that_is_no_json_is_a_failure(bench: Bench, result: dict[str, Any]) -> None:
    async def work(_: JobRun) -> dict[str, Any]:
        return result

    asked = await bench.submit("work")
    async with bench.working(kind(work, tries=1)):
        failed = await bench.until(asked)
    assert failed.state == "failed"


async def test_a_list_shows_the_newest_first_in_pages_and_by_state(bench: Bench) -> None:
    done = [await bench.submit("work") for _ in range(3)]
    async with bench.working(kind(echo)):
        for job in done:
            await bench.until(job)
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


async def test_a_job_with_an_id_of_the_callers_is_there_once(bench: Bench) -> None:
    job_id = uuid7()
    first = await bench.jobs.submit("work", {"n": 1}, actor="token:a", job_id=job_id)
    again = await bench.jobs.submit("work", {"n": 1}, actor="token:a", job_id=job_id)
    assert (first.id, again) == (job_id, first)
    async with bench.working(kind(echo)):
        done = await bench.until(first)
    again = await bench.jobs.submit("work", {"n": 1}, actor="token:a", job_id=job_id)
    assert again == done
    assert len((await bench.jobs.jobs(JobQuery())).items) == 1


async def test_a_worker_runs_no_more_of_a_kind_than_the_kind_says(bench: Bench) -> None:
    running: list[str] = []
    most: list[int] = []
    others = asyncio.Event()

    async def count(run: JobRun) -> dict[str, Any]:
        running.append("rare")
        most.append(len(running))
        await others.wait()
        running.remove("rare")
        return {}

    async def other(run: JobRun) -> dict[str, Any]:
        others.set()
        return {}

    rare = [await bench.submit("rare") for _ in range(3)]
    plain = await bench.submit("work")
    kinds = (replace(kind(count, "rare"), at_once=1), kind(other))
    async with bench.working(*kinds, slots=2):
        # With both places taken by the first kind it would never have its turn.
        await bench.until(plain)
        for job in rare:
            await bench.until(job)
    assert most == [1, 1, 1]


async def test_exports_are_listed_by_who_asked_for_them(bench: Bench) -> None:
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
