"""Scheduled jobs: in UTC, submitted once by many workers, and never two at a time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from typing import Final

import pytest
from uuid_utils.compat import uuid7

from application.jobs.model import JobKind, JobQuery
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.jobs.schedule import Timetable, run_schedules
from infrastructure.jobs.sessions import JobSessions
from tests.support.jobs.jobs import Bench, echo, kind

HOURLY: Final = JobKind(name="hourly", run=echo, schedule="17 * * * *")
NIGHTLY: Final = JobKind(name="nightly", run=echo, schedule="23 2 * * *")
NOON: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp()


@pytest.fixture
async def jobs(database_url: str) -> AsyncGenerator[PostgresJobs]:
    async with JobSessions.open(database_url) as sessions:
        yield PostgresJobs(sessions, uuid7)


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose local time is not UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_a_kind_is_due_at_its_time_in_utc() -> None:
    timetable = Timetable([HOURLY, NIGHTLY, kind(echo)])
    assert timetable.next(NOON) == 17 * 60
    missed = {name: datetime.fromtimestamp(at, UTC) for name, at in timetable.due(NOON)}
    assert missed == {
        "hourly": datetime(2026, 3, 1, 11, 17, tzinfo=UTC),
        "nightly": datetime(2026, 3, 1, 2, 23, tzinfo=UTC),
    }
    assert timetable.due(NOON + 60) == []
    assert timetable.due(NOON + 17 * 60) == [("hourly", int(NOON) + 17 * 60)]
    assert timetable.due(NOON + 18 * 60) == []


def test_a_run_that_was_missed_more_than_a_day_ago_is_skipped() -> None:
    weekly = JobKind(name="weekly", run=echo, schedule="0 0 * * 4")
    assert Timetable([weekly]).due(NOON) == []


def test_an_invalid_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="columns"):
        Timetable([JobKind(name="never", run=echo, schedule="sometimes")])


async def test_only_one_of_many_workers_submits_a_scheduled_job(
    jobs: PostgresJobs, database_url: str
) -> None:
    async with JobSessions.open(database_url) as sessions:
        others = PostgresJobs(sessions, uuid7)
        each = await asyncio.gather(
            *(worker.submit_scheduled("hourly", 1000) for worker in [jobs, others] * 5)
        )
    assert sorted(each) == [False] * 9 + [True]
    (job,) = (await jobs.jobs(JobQuery())).items
    assert (job.kind, job.actor, job.arguments) == ("hourly", "system:schedule", {})
    assert not await jobs.submit_scheduled("hourly", 1000)


async def test_a_schedule_submits_no_job_while_its_last_one_is_unfinished(
    jobs: PostgresJobs, database_url: str
) -> None:
    assert await jobs.submit_scheduled("hourly", 1000)
    assert not await jobs.submit_scheduled("hourly", 2000)
    assert await jobs.submit_scheduled("nightly", 2000)
    async with Bench.in_postgres(database_url) as bench, bench.working(HOURLY):
        (job,) = [each for each in (await jobs.jobs(JobQuery())).items if each.kind == "hourly"]
        assert (await bench.wait_for(job)).state == "succeeded"
        assert not await jobs.submit_scheduled("hourly", 2000)
        assert await jobs.submit_scheduled("hourly", 3000)


async def test_a_schedule_keeps_submitting(jobs: PostgresJobs, database_url: str) -> None:
    every_second = JobKind(name="second", run=echo, schedule="* * * * * *")
    async with Bench.in_postgres(database_url) as bench, bench.working(every_second):
        looking = asyncio.create_task(run_schedules([every_second], jobs, start_delay=0))
        try:
            async with asyncio.timeout(15):
                while len((await jobs.jobs(JobQuery(states=("succeeded",)))).items) < 3:
                    await asyncio.sleep(0.05)
        finally:
            looking.cancel()
