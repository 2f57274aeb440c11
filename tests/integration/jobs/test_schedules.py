"""Scheduled jobs: in UTC, submitted once by many workers, and never two at a time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
import pytest
from msgspec.structs import replace
from procrastinate import App, PsycopgConnector
from procrastinate.periodic import PeriodicDeferrer
from uuid_utils.compat import uuid7

from application.jobs.model import Job, JobKind, JobQuery, JobRun
from infrastructure.database import Database
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.jobs.worker import JobWorkers
from tests.support.jobs.jobs import TIMING, Bench, echo, kind

HOURLY: Final = JobKind(name="hourly", run=echo, schedule="17 * * * *")
EVERY_SECOND: Final = JobKind(name="second", run=echo, schedule="* * * * * *")
NOON: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp()


@pytest.fixture
async def bench(database_url: str) -> AsyncGenerator[Bench]:
    async with Bench.in_postgres(database_url) as bench:
        yield bench


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose local time is not UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


async def jobs_of(bench: Bench, name: str) -> list[Job]:
    return [job for job in (await bench.jobs.jobs(JobQuery())).items if job.kind == name]


@pytest.mark.usefixtures("in_tokyo")
def test_schedules_are_in_utc() -> None:
    app = App(connector=PsycopgConnector())
    for schedule in ("17 * * * *", "23 2 * * *"):
        app.periodic(cron=schedule, periodic_id=schedule)(app.task(name=schedule)(nothing))
    # Its types leave open what a task takes and returns.
    deferrer: Any = PeriodicDeferrer(app.periodic_registry, 86400)
    missed = deferrer.get_previous_tasks(NOON)
    assert {task.cron: datetime.fromtimestamp(at, UTC) for task, at in missed} == {
        "17 * * * *": datetime(2026, 3, 1, 11, 17, tzinfo=UTC),
        "23 2 * * *": datetime(2026, 3, 1, 2, 23, tzinfo=UTC),
    }


async def test_a_job_that_was_missed_more_than_a_day_ago_is_not_submitted(bench: Bench) -> None:
    three_days_ago = (datetime.now(UTC) - timedelta(days=3)).isoweekday() % 7
    weekly = JobKind(name="weekly", run=echo, schedule=f"0 0 * * {three_days_ago}")
    async with bench.working(weekly, HOURLY):
        await until_submitted(bench, "hourly", 1)
    assert await jobs_of(bench, "weekly") == []


async def test_only_one_of_many_workers_submits_a_scheduled_job_that_was_missed(
    bench: Bench, database_url: str
) -> None:
    async with Bench.in_postgres(database_url) as other:
        async with bench.working(HOURLY), other.working(HOURLY), other.working(HOURLY):
            await until_submitted(bench, "hourly", 1)
            await asyncio.sleep(0.5)
        (job,) = await jobs_of(bench, "hourly")
        assert (job.actor, job.arguments) == ("system:schedule", {})
        async with other.working(HOURLY):
            await asyncio.sleep(0.5)
    assert len(await jobs_of(bench, "hourly")) == 1


async def test_a_schedule_submits_no_job_while_its_last_one_is_unfinished(bench: Bench) -> None:
    ends = asyncio.Event()

    async def work(_: JobRun) -> dict[str, Any]:
        await ends.wait()
        return {}

    async with bench.working(replace(EVERY_SECOND, run=work)):
        await until_submitted(bench, "second", 1)
        await asyncio.sleep(2.5)
        assert len(await jobs_of(bench, "second")) == 1
        ends.set()
        await until_submitted(bench, "second", 2)


async def test_a_schedule_keeps_submitting(bench: Bench) -> None:
    async with bench.working(EVERY_SECOND):
        await until_submitted(bench, "second", 3)


async def test_nothing_is_submitted_in_the_first_time_after_a_start(database_url: str) -> None:
    async with Database.open(database_url) as database, Bench.in_postgres(database_url) as bench:
        jobs = PostgresJobs(database, uuid7)
        workers = JobWorkers(
            [HOURLY], database, jobs, MemoryDoorbell(), timing=TIMING, start_delay=3.0
        )
        running = asyncio.create_task(workers.run())
        try:
            await asyncio.sleep(1.5)
            assert await jobs_of(bench, "hourly") == []
            await until_submitted(bench, "hourly", 1)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_the_schedule_of_a_worker_that_died_is_kept(bench: Bench, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            """INSERT INTO procrastinate_jobs (queue_name, task_name, args, status)
            VALUES ('maintenance', 'schedule', '{"kind": "nightly", "timestamp": 1}', 'doing')"""
        )
    async with bench.working(kind(echo, "nightly")):
        await until_submitted(bench, "nightly", 1)


async def nothing(timestamp: int) -> None:
    raise AssertionError(timestamp)


async def until_submitted(bench: Bench, name: str, number: int) -> None:
    async with asyncio.timeout(15):
        while len(await jobs_of(bench, name)) < number:
            await asyncio.sleep(0.05)
