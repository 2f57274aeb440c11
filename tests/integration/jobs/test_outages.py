"""Jobs while their database is away: none is lost, none runs twice, and no worker gives up."""

import asyncio
import random
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from uuid_utils.compat import uuid7

from application.errors import OutcomeUnknown, Unavailable
from application.jobs.model import JobQuery, JobRun
from infrastructure.database import TRANSACTION_SECONDS, Database, MaybeCommitted
from infrastructure.postgres import Connection
from tests.support.jobs.jobs import Bench, echo, endless, kind
from tests.support.servers.postgres_proxy import PostgresProxy

# Longer than any worker takes to reconnect to its database.
STALLED = 4.0

_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'rollbook' AND datname = current_database()"""


class SomeAnswersLost(Database):
    """Sessions that lose the answer to one in three transactions, after it was committed."""

    chance = random.Random(7)
    one_in = 3

    @asynccontextmanager
    async def transaction(self, seconds: float = TRANSACTION_SECONDS) -> AsyncGenerator[Connection]:
        async with super().transaction(seconds) as connection:
            yield connection
        if self.chance.randrange(self.one_in) == 0:
            raise MaybeCommitted


class AllAnswersLost(SomeAnswersLost):
    """Sessions that lose every answer."""

    one_in = 1


class FirstAnswerLost(Database):
    """Sessions that lose the first answer."""

    lost = False

    @asynccontextmanager
    async def transaction(self, seconds: float = TRANSACTION_SECONDS) -> AsyncGenerator[Connection]:
        async with super().transaction(seconds) as connection:
            yield connection
        if not self.lost:
            self.lost = True
            raise MaybeCommitted


@pytest.fixture
async def proxy(database_url: str) -> AsyncGenerator[PostgresProxy]:
    with tempfile.TemporaryDirectory() as directory:
        async with PostgresProxy.to(database_url, Path(directory)) as proxy:
            yield proxy


async def end_sessions(url: str) -> None:
    """End the sessions of all workers, as an administrator does."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(_SESSIONS)


async def test_a_job_outlives_every_connection_of_its_worker(database_url: str) -> None:
    async def work(run: JobRun) -> dict[str, Any]:
        for done in range(30):
            await run.report(done, 30)
            await asyncio.sleep(0.05)
        return {"n": 30}

    async with Bench.in_postgres(database_url) as bench, bench.working(kind(work, tries=1)):
        job = await bench.submit("work")
        for _ in range(10):
            await end_sessions(database_url)
            await asyncio.sleep(0.15)
        done = await bench.wait_for(job)
    assert (done.state, done.attempts, done.result) == ("succeeded", 1, {"n": 30})


@pytest.mark.long
async def test_runs_stay_with_their_workers_after_an_outage_longer_than_every_heartbeat(
    database_url: str, proxy: PostgresProxy
) -> None:
    ends = asyncio.Event()

    async def work(_: JobRun) -> dict[str, Any]:
        await ends.wait()
        return {"n": 1}

    async with (
        Bench.in_postgres(proxy.url, stalled=STALLED) as bench,
        Bench.in_postgres(proxy.url, stalled=STALLED) as other,
        bench.working(kind(work, tries=1), places=1),
        other.working(kind(work, tries=1), places=1),
    ):
        jobs = [await bench.submit("work"), await bench.submit("work")]
        for job in jobs:
            await bench.wait_for(job, "running")
        # Long enough that each would see the other as dead if it did not allow for the outage.
        await asyncio.sleep(STALLED + 0.5)
        proxy.pause()
        await end_sessions(database_url)
        await asyncio.sleep(STALLED + 1)
        proxy.resume()
        async with asyncio.timeout(20):
            while not await answers(bench):
                await asyncio.sleep(0.1)
        await asyncio.sleep(STALLED / 2)
        ends.set()
        done = [await bench.wait_for(job, timeout_seconds=15) for job in jobs]
    assert [(job.state, job.attempts) for job in done] == [("succeeded", 1)] * 2


async def test_a_job_that_ends_during_an_outage_is_recorded_after_it(
    database_url: str, proxy: PostgresProxy
) -> None:
    away = asyncio.Event()

    async def work(_: JobRun) -> dict[str, Any]:
        await away.wait()
        return {"n": 1}

    async with Bench.in_postgres(proxy.url) as bench, bench.working(kind(work, tries=1)):
        job = await bench.submit("work")
        await bench.wait_for(job, "running")
        proxy.pause()
        await end_sessions(database_url)
        away.set()
        await asyncio.sleep(1)
        proxy.resume()
        async with asyncio.timeout(20):
            while not await answers(bench):
                await asyncio.sleep(0.1)
        done = await bench.wait_for(job, timeout_seconds=15)
        following = await bench.wait_for(await bench.submit("work"))
    assert (done.state, done.attempts, following.state) == ("succeeded", 1, "succeeded")


async def test_a_worker_that_starts_during_an_outage_runs_jobs_after_it(
    database_url: str, proxy: PostgresProxy
) -> None:
    proxy.pause()
    async with Bench.in_postgres(proxy.url) as bench, bench.working(kind(echo)):
        await asyncio.sleep(1)
        proxy.resume()
        async with Bench.in_postgres(database_url) as direct:
            job = await direct.submit("work", {"n": 1})
            assert (await direct.wait_for(job, timeout_seconds=20)).state == "succeeded"


async def test_without_a_database_all_calls_are_unavailable() -> None:
    async with Bench.in_postgres("postgresql://127.0.0.1:1/none") as bench:
        results = await asyncio.gather(
            bench.submit("work"),
            bench.jobs.job(uuid7()),
            bench.jobs.cancel(uuid7()),
            bench.jobs.jobs(JobQuery()),
            return_exceptions=True,
        )
    assert [type(result) for result in results] == [Unavailable] * 4


async def test_lost_answers_lose_no_job_and_run_none_twice(database_url: str) -> None:
    runs: list[int] = []

    async def work(run: JobRun) -> dict[str, Any]:
        runs.append(run.arguments["n"])
        return {"n": run.arguments["n"]}

    async with (
        Bench.in_postgres(database_url) as plain,
        Bench.in_postgres(database_url, SomeAnswersLost) as bench,
        bench.working(kind(work, tries=1)),
    ):
        for n in range(12):
            # If two answers in a row are lost, the job is recorded and the caller gets no receipt.
            with suppress(OutcomeUnknown):
                await bench.submit("work", {"n": n})
        listed = (await plain.jobs.jobs(JobQuery())).items
        done = [await plain.wait_for(job, timeout_seconds=90) for job in reversed(listed)]
    assert [job.result for job in done] == [{"n": n} for n in range(12)]
    assert {job.state for job in done} == {"succeeded"}
    assert sorted(runs) == list(range(12))


async def test_a_submission_whose_answer_is_lost_is_found_by_the_retry(database_url: str) -> None:
    async with Bench.in_postgres(database_url, FirstAnswerLost) as bench:
        job = await bench.submit("work", {"n": 1})
        assert list((await bench.jobs.jobs(JobQuery())).items) == [job]


async def test_a_caller_that_gets_no_answer_gets_outcome_unknown(database_url: str) -> None:
    async with (
        Bench.in_postgres(database_url) as plain,
        Bench.in_postgres(database_url, AllAnswersLost) as lossy,
        plain.working(kind(endless)),
    ):
        job = await plain.submit("work")
        await plain.wait_for(job, "running")
        with pytest.raises(OutcomeUnknown):
            await lossy.jobs.cancel(job.id)
        assert (await plain.wait_for(job)).state == "cancelled"
        with pytest.raises(OutcomeUnknown):
            await lossy.submit("work")
        assert len((await plain.jobs.jobs(JobQuery())).items) == 2


async def answers(bench: Bench) -> bool:
    try:
        await bench.jobs.job(uuid7())
    except Unavailable:
        return False
    return True
