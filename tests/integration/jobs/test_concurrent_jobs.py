"""Jobs that are submitted, taken, ended and cancelled at the same time, by several workers."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace

from application.jobs.model import Job, JobQuery, JobRun, Progress
from infrastructure.database import TRANSACTION_SECONDS, Database, Pool
from infrastructure.jobs.ledger import PostgresJobLedger
from infrastructure.jobs.postgres import LIST
from infrastructure.postgres import Connection
from tests.support.jobs.jobs import TIMING, Bench, echo, kind
from tests.support.servers.postgres import scaled

SLOW_POLL = replace(TIMING, poll=60.0)


class PausingDatabase(Database):
    """Transactions wait before their commit while `pauses` is set."""

    def __init__(self, url: str, pool: Pool, long_uses: int) -> None:
        super().__init__(url, pool, long_uses)
        self.pauses, self.about_to_commit, self.resume = (asyncio.Event() for _ in range(3))

    @asynccontextmanager
    async def transaction(self, seconds: float = TRANSACTION_SECONDS) -> AsyncGenerator[Connection]:
        async with super().transaction(seconds) as connection:
            yield connection
            if self.pauses.is_set():
                self.about_to_commit.set()
                await self.resume.wait()


@pytest.fixture
async def bench(database_url: str) -> AsyncGenerator[Bench]:
    async with Bench.in_postgres(database_url) as bench:
        yield bench


async def rows(url: str, query: str) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(query.encode())
        return await cursor.fetchall() if cursor.description else []


async def test_only_one_of_many_workers_runs_each_job(bench: Bench, database_url: str) -> None:
    runs = Counter[int]()

    async def work(run: JobRun) -> dict[str, Any]:
        runs[run.arguments["n"]] += 1
        return {}

    count = scaled(60)
    async with (
        Bench.in_postgres(database_url) as other,
        bench.working(kind(work)),
        other.working(kind(work)),
        other.working(kind(work)),
    ):
        jobs = [await bench.submit("work", {"n": n}) for n in range(count)]
        for job in jobs:
            assert (await bench.wait_for(job)).state == "succeeded"
    assert runs == dict.fromkeys(range(count), 1)
    assert await rows(database_url, "SELECT * FROM procrastinate_jobs") == []
    assert await rows(database_url, "SELECT * FROM procrastinate_events") == []
    assert await rows(database_url, "SELECT * FROM procrastinate_workers") == []


async def test_a_submitted_job_is_noticed_long_before_the_next_poll(bench: Bench) -> None:
    async with bench.working(kind(echo), timing=SLOW_POLL):
        await asyncio.sleep(0.3)
        await bench.wait_for(await bench.submit("work"), timeout_seconds=5)


async def test_a_job_that_is_cancelled_at_any_moment_ends(bench: Bench, database_url: str) -> None:
    async def work(run: JobRun) -> dict[str, Any]:
        await run.report(0)
        await asyncio.sleep(random.uniform(0, 0.05))
        if run.attempt == 1 and run.arguments["n"] % 3 == 0:
            raise ValueError
        return {}

    at_once = asyncio.Semaphore(60)

    async def cancelled_soon(n: int) -> Job:
        async with at_once:
            job = await bench.submit("work", {"n": n})
            await asyncio.sleep(random.uniform(0, 0.1))
            await bench.jobs.cancel(job.id)
            return await bench.wait_for(job)

    async with (
        Bench.in_postgres(database_url) as other,
        bench.working(kind(work)),
        other.working(kind(work)),
    ):
        jobs = await asyncio.gather(*(cancelled_soon(n) for n in range(scaled(60))))
    assert {job.state for job in jobs} == {"cancelled", "succeeded"}
    assert await rows(database_url, "SELECT * FROM procrastinate_jobs") == []


async def test_a_cancel_while_a_run_begins_reaches_it(bench: Bench, database_url: str) -> None:
    async with PausingDatabase.open(database_url) as database:
        ledger = PostgresJobLedger(database)
        job = await bench.submit("work")
        ((entry,),) = await rows(database_url, "SELECT task FROM jobs")
        database.pauses.set()
        beginning = asyncio.create_task(ledger.begin(job.id, entry, ["work"]))
        await database.about_to_commit.wait()
        cancelling = asyncio.create_task(bench.jobs.cancel(job.id))
        await asyncio.sleep(0.2)
        assert not cancelling.done()
        database.resume.set()
        taken, seen = await beginning, await cancelling
        assert taken is not None
        assert seen is not None
        assert seen.state == "running"
        assert await ledger.report(taken, Progress()) == "cancel"


async def test_a_job_submitted_with_once_never_runs_twice_at_the_same_time(
    bench: Bench, database_url: str
) -> None:
    running = 0

    async def work(run: JobRun) -> dict[str, Any]:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.001)
        running -= 1
        return {}

    async with Bench.in_postgres(database_url) as other, bench.working(kind(work, tries=1)):

        async def ask(bench: Bench) -> set[UUID]:
            return {(await bench.submit("work", once="x")).id for _ in range(scaled(60))}

        asked = await asyncio.gather(ask(bench), ask(other), ask(bench), ask(other))
        jobs = set[UUID]().union(*asked)
        for job in jobs:
            assert (await bench.wait_for(job)).state == "succeeded"
    assert len(jobs) > 1
    assert len(await rows(database_url, "SELECT * FROM jobs")) == len(jobs)


async def test_an_acknowledged_job_is_on_the_disk_whatever_the_database_default(
    database_url: str,
) -> None:
    await rows(
        database_url,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', "
        "current_database()); END $$",
    )
    async with (
        Database.open(database_url) as database,
        database.transaction() as connection,
    ):
        row = await (await connection.execute("SHOW synchronous_commit")).fetchone()
    assert row == ("on",)


async def test_a_page_of_a_rare_state_is_found_among_many_jobs_in_others(
    bench: Bench, database_url: str
) -> None:
    await rows(
        database_url,
        f"""INSERT INTO jobs (tenant, id, kind, state, arguments, actor, finished_at)
        SELECT 'main', ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'work',
               'succeeded', '{{}}', 'token:test', now()
        FROM generate_series(1, {scaled(50_000)}) AS n""",
    )
    await rows(database_url, "VACUUM ANALYZE jobs")
    job = await bench.submit("work")
    await bench.jobs.cancel(job.id)
    page = await bench.jobs.jobs(JobQuery(states=("queued", "cancelled"), limit=10))
    assert [job.id for job in page.items] == [job.id]
    assert [job.state for job in (await bench.jobs.jobs(JobQuery(limit=2))).items] == [
        "cancelled",
        "succeeded",
    ]
    values = "'{queued,cancelled}'", f"'{UUID(int=2**128 - 1)}'", "'main'", "10"
    named = dict(zip(("states", "before", "tenant", "limit"), values, strict=True))
    plan = str(await rows(database_url, f"EXPLAIN {LIST.decode() % named}"))
    assert "Index Scan Backward using jobs_state" in plan
    assert "Seq Scan" not in plan
