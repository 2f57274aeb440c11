"""Workers that die, freeze or lose their database: other workers run their jobs again."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
import pytest

from application.jobs.ledger import Outcome, Taken
from application.jobs.model import JOB_STATES, Job
from application.jobs.pace import Progress
from infrastructure.database import Database
from infrastructure.jobs.ledger import PostgresJobLedger
from infrastructure.jobs.lost import MAX_LOSSES
from tests.support.jobs.jobs import STALLED, Bench, echo, endless, kind
from tests.support.servers.postgres_backends import frozen
from tests.support.servers.rollbook import ROOT, rollbook_environment

# Much more than it takes on an idle machine.
RETRIED_WITHIN: Final = STALLED + 15.0


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
            async with asyncio.timeout(RETRIED_WITHIN):
                while await rows(database_url, "SELECT * FROM procrastinate_jobs"):
                    await asyncio.sleep(0.05)
    assert done.result == {"process": second.pid, "attempt": 2}
    assert (done.state, done.attempts, done.error) == ("succeeded", 2, None)


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


@pytest.mark.long
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


async def taken_by_a_dead_worker(url: str, job: Job) -> Taken:
    """Begin the next run of a job as a worker that then dies."""
    async with Database.open(url) as database:
        await entry_taken(url)
        ((entry,),) = await rows(url, "SELECT task FROM jobs WHERE id = %s", job.id)
        taken = await PostgresJobLedger(database).begin(job.id, entry, [job.kind])
    assert taken is not None
    return taken


async def entry_taken(url: str) -> None:
    """Take all entries, as workers that are then removed."""
    await rows(url, "UPDATE procrastinate_jobs SET status = 'doing'")


async def test_a_job_that_kills_every_worker_fails_at_a_limit(
    bench: Bench, database_url: str
) -> None:
    job = await bench.submit("work")
    async with bench.working(kind(echo, "other")):
        for attempt in range(1, MAX_LOSSES + 1):
            taken = await taken_by_a_dead_worker(database_url, job)
            assert taken.attempt == attempt
            await bench.wait_for(job, "queued", "failed", timeout_seconds=RETRIED_WITHIN)
    failed = await bench.wait_for(job, "failed")
    assert failed.error == "Its worker ended in the middle of it, 5 times."


async def test_a_job_is_run_if_the_answer_to_the_take_of_its_entry_was_lost(
    bench: Bench, database_url: str
) -> None:
    job = await bench.submit("work", {"n": 1})
    async with bench.working(kind(echo, "other")):
        # The answer is lost, and the worker lives.
        await rows(
            database_url,
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '1 hour')",
        )
        await rows(
            database_url,
            """UPDATE procrastinate_jobs
            SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)""",
        )
        async with bench.working(kind(echo)):
            done = await bench.wait_for(job, timeout_seconds=RETRIED_WITHIN)
    assert (done.state, done.attempts, done.result) == ("succeeded", 1, {"n": 1})


async def test_a_job_whose_entry_was_deleted_is_run(bench: Bench, database_url: str) -> None:
    job = await bench.submit("work", {"n": 1})
    await rows(database_url, "DELETE FROM procrastinate_jobs")
    async with bench.working(kind(echo)):
        assert (await bench.wait_for(job)).result == {"n": 1}


async def test_the_repeat_of_a_begin_continues_the_same_run(
    bench: Bench, database_url: str
) -> None:
    job = await bench.submit("work")
    first = await taken_by_a_dead_worker(database_url, job)
    assert await taken_by_a_dead_worker(database_url, job) == first


async def test_reports_of_a_run_that_was_replaced_are_ignored(
    bench: Bench, database_url: str
) -> None:
    job = await bench.submit("work")
    taken = await taken_by_a_dead_worker(database_url, job)
    async with Database.open(database_url) as database, bench.working(kind(endless)):
        old = PostgresJobLedger(database)
        await at_progress(bench, job, 1, attempt=2)
        report = Progress(done=2_000_000, total=2)
        for _ in range(10):
            assert await old.report(taken, report) == "lost"
            assert (await bench.wait_for(job, "running")).progress.total == 1_000_000
        for state in JOB_STATES:
            await old.end(taken, report, Outcome(state=state, result={"n": 1}))
        still = await bench.wait_for(job, "running")
        await bench.jobs.cancel(job.id)
        ended = await bench.wait_for(job)
    assert (still.attempts, still.progress.total, still.error) == (2, 1_000_000, None)
    assert (ended.state, ended.attempts, ended.result) == ("cancelled", 2, None)


async def test_a_run_has_an_entry_of_its_own(bench: Bench, database_url: str) -> None:
    """So the end of a run, which procrastinate records by the entry, is never another run's."""
    entries: set[int] = set()

    async def work(run: Any) -> dict[str, Any]:
        ((entry,),) = await rows(database_url, "SELECT task FROM jobs")
        entries.add(entry)
        if run.attempt < 3:
            raise ValueError
        return {}

    job = await bench.submit("work")
    async with bench.working(kind(work)):
        assert (await bench.wait_for(job)).state == "succeeded"
    assert len(entries) == 3


async def owner(url: str, workers: tuple[asyncio.subprocess.Process, ...]) -> int:
    """The process of the worker that runs the only job; the workers registered in their order."""
    (first, second) = await rows(url, "SELECT id FROM procrastinate_workers ORDER BY id")
    ((worker_id,),) = await rows(url, "SELECT worker_id FROM procrastinate_jobs")
    assert worker_id in (first[0], second[0])
    return workers[0 if worker_id == first[0] else 1].pid
