"""Workers that die, freeze or lose their database: other workers run their jobs again."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
import pytest

from application.jobs.ledger import Cancelled, Failed, Requeued, RunNow, Succeeded
from application.jobs.model import Job, Progress
from infrastructure.jobs.completion import MAX_LOSSES
from tests.support.jobs.jobs import DEAD_AFTER, Bench, echo, endless, kind
from tests.support.servers.postgres_backends import frozen
from tests.support.servers.rollbook import ROOT, rollbook_environment

# Much more than it takes on an idle machine.
RETRIED_WITHIN: Final = DEAD_AFTER + 15.0


@pytest.fixture
async def bench(database_url: str) -> AsyncGenerator[Bench]:
    async with Bench.in_postgres(database_url) as bench:
        yield bench


@asynccontextmanager
async def worker(url: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A worker in a separate process that runs jobs of the kind `count`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.support.processes.job_worker", url),
        env=rollbook_environment(),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        while await process.stdout.readline() != b"ready\n":
            assert process.returncode is None
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def rows(url: str, query: str, *values: object) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(query.encode(), values)
        return await cursor.fetchall() if cursor.description else []


async def counting(bench: Bench, to: int) -> Job:
    return await bench.submit("count", {"to": to})


async def at_progress(bench: Bench, job: Job, done: int, attempt: int = 1) -> Job:
    """The job, once the progress of that attempt has reached `done`."""
    return await bench.wait_until(
        job, lambda job: job.attempts == attempt and job.progress.done >= done, RETRIED_WITHIN
    )


async def test_another_worker_runs_the_job_of_a_killed_one(bench: Bench, database_url: str) -> None:
    async with worker(database_url) as first:
        job = await counting(bench, 30)
        await at_progress(bench, job, 3)
        async with worker(database_url) as second:
            first.kill()
            await bench.wait_until(job, lambda job: job.attempts == 2, RETRIED_WITHIN)
            done = await bench.wait_for(job)
    assert done.result == {"process": second.pid, "attempt": 2}
    assert (done.state, done.attempts, done.error) == ("succeeded", 2, None)
    assert await rows(database_url, "SELECT * FROM procrastinate_jobs") == []


@pytest.mark.long
async def test_a_worker_that_starts_after_the_crash_runs_the_job(
    bench: Bench, database_url: str
) -> None:
    async with worker(database_url) as first:
        job = await counting(bench, 10)
        await at_progress(bench, job, 2)
        first.kill()
        await first.wait()
    async with worker(database_url) as second:
        done = await bench.wait_for(job, timeout_seconds=RETRIED_WITHIN + 5)
    assert done.result == {"process": second.pid, "attempt": 2}


async def test_a_worker_that_was_frozen_does_not_change_the_run_that_replaced_its_own(
    bench: Bench, database_url: str
) -> None:
    async with worker(database_url) as first, worker(database_url) as second:
        job = await counting(bench, 40)
        running = await at_progress(bench, job, 5)
        pid = await owner(database_url, (first, second))
        with frozen(pid):
            await at_progress(bench, job, 2, attempt=2)
        # Its run has more progress than the other one, which has only begun.
        await asyncio.sleep(0.5)
        still = await bench.wait_for(job, "running")
        assert still.attempts == 2
        assert still.progress.done < running.progress.done + 20
        done = await bench.wait_for(job, timeout_seconds=15)
    other = second.pid if pid == first.pid else first.pid
    assert done.result == {"process": other, "attempt": 2}
    assert done.attempts == 2


@pytest.mark.long
async def test_a_worker_that_was_frozen_changes_no_finished_job_and_takes_new_ones(
    bench: Bench, database_url: str
) -> None:
    async with worker(database_url) as first, worker(database_url) as second:
        job = await counting(bench, 10)
        await at_progress(bench, job, 5)
        pid = await owner(database_url, (first, second))
        with frozen(pid):
            done = await bench.wait_for(job, timeout_seconds=RETRIED_WITHIN + 5)
            (second if pid == first.pid else first).kill()
        # Alone now, it ends its old run and takes a new job.
        following = await bench.wait_for(await counting(bench, 1))
        assert await bench.jobs.job(job.id) == done
    assert following.result == {"process": pid, "attempt": 1}


async def test_a_worker_whose_registration_was_deleted_continues(
    bench: Bench, database_url: str
) -> None:
    async with worker(database_url) as only:
        await bench.wait_for(await counting(bench, 1))
        await rows(database_url, "DELETE FROM procrastinate_workers")
        done = await bench.wait_for(await counting(bench, 1), timeout_seconds=RETRIED_WITHIN)
    assert done.result == {"process": only.pid, "attempt": 1}


async def test_a_job_that_is_cancelled_while_its_worker_is_dead_is_not_run_again(
    bench: Bench, database_url: str
) -> None:
    async with worker(database_url) as first:
        job = await counting(bench, 1000)
        await at_progress(bench, job, 1)
        first.send_signal(signal.SIGKILL)
        await first.wait()
    cancelled = await bench.jobs.cancel(job.id)
    assert cancelled is not None
    assert cancelled.state == "running"
    async with bench.working(kind(echo, "count")):
        done = await bench.wait_for(job, timeout_seconds=RETRIED_WITHIN)
    assert (done.state, done.attempts) == ("cancelled", 1)


async def test_a_job_that_kills_every_worker_fails_at_a_limit(bench: Bench) -> None:
    job = await bench.submit("work")
    for attempt in range(1, MAX_LOSSES + 1):
        async with bench.ledger() as doomed:
            taken = await doomed.take(["work"])
            assert taken is not None
            assert taken.attempt == attempt
        async with bench.working(kind(echo, "other")):
            await bench.wait_for(job, "queued", "failed", timeout_seconds=RETRIED_WITHIN)
    failed = await bench.wait_for(job, "failed")
    assert failed.error == "Its worker ended in the middle of it, 5 times."


async def test_a_job_is_taken_again_if_the_answer_to_its_take_was_lost(bench: Bench) -> None:
    job = await bench.submit("work", {"n": 1})
    async with bench.ledger() as ledger:
        # The answer is lost, and the worker lives.
        assert await ledger.take(["work"]) is not None
        async with asyncio.timeout(RETRIED_WITHIN):
            while (await bench.wait_for(job, "running", "queued")).state == "running":
                await ledger.pulse({})
                await asyncio.sleep(0.02)
        async with bench.working(kind(echo)):
            done = await bench.wait_for(job)
    assert (done.state, done.attempts, done.result) == ("succeeded", 2, {"n": 1})


async def test_reports_of_a_run_that_was_replaced_are_ignored(bench: Bench) -> None:
    async with bench.ledger() as old:
        job = await bench.submit("work")
        taken = await old.take(["work"])
        assert taken is not None
        # It reports nothing for a while, as if it were frozen.
        async with bench.working(kind(endless)):
            await at_progress(bench, job, 1, attempt=2)
            report = RunNow(taken.attempt, Progress(done=2_000_000, total=2))
            for _ in range(10):
                assert await old.pulse({job.id: report}) == {job.id: "lost"}
                assert (await bench.wait_for(job, "running")).progress.total == 1_000_000
            for outcome in (Succeeded({"n": 1}), Failed("It was."), Cancelled(), Requeued()):
                await old.end(taken, report.progress, outcome)
            still = await bench.wait_for(job, "running")
            await bench.jobs.cancel(job.id)
            ended = await bench.wait_for(job)
    assert (still.attempts, still.progress.total, still.error) == (2, 1_000_000, None)
    assert (ended.state, ended.attempts, ended.result) == ("cancelled", 2, None)


async def owner(url: str, workers: tuple[asyncio.subprocess.Process, ...]) -> int:
    """The process of the worker that runs the only job; the workers registered in their order."""
    (first, second) = await rows(url, "SELECT id FROM procrastinate_workers ORDER BY id")
    ((worker_id,),) = await rows(url, "SELECT worker_id FROM procrastinate_jobs")
    assert worker_id in (first[0], second[0])
    return workers[0 if worker_id == first[0] else 1].pid
