"""Jobs for tests, in memory and in Postgres, with short intervals for their workers."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol, Self
from uuid import UUID

from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.jobs.model import FINISHED, Job, JobKind, JobList, JobRun, Jobs, JobState
from application.jobs.runs import Timing
from infrastructure.database import Database
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.jobs.worker import JobWorkers
from tests.support.doubles.jobs import InMemoryJobs

STALLED: Final = 2.0
TIMING: Final = Timing(
    pulse=0.05,
    grace=0.3,
    drain=0.3,
    retry=0.05,
    poll=0.1,
    heartbeat=0.2,
    stalled=STALLED,
    sweep=0.2,
)


class JobStore(Jobs, JobList, Protocol): ...


class Working(Protocol):
    def __call__(
        self, *kinds: JobKind, places: int, timing: Timing
    ) -> AbstractAsyncContextManager[None]: ...


class Bench:
    """A job store, and workers that run its jobs."""

    def __init__(self, jobs: JobStore, working: Working, timing: Timing = TIMING) -> None:
        self.jobs = jobs
        self._working = working
        self._timing = timing

    @classmethod
    @asynccontextmanager
    async def in_memory(cls) -> AsyncGenerator[Self]:
        jobs = InMemoryJobs(uuid7)
        yield cls(jobs, jobs.working)

    @classmethod
    @asynccontextmanager
    async def in_postgres(
        cls,
        url: str,
        database_of: type[Database] = Database,
        stalled: float = STALLED,
    ) -> AsyncGenerator[Self]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(database_of.open(url))
            doorbell = await stack.enter_async_context(PostgresDoorbell.open(url))
            jobs = PostgresJobs(database, uuid7)

            @asynccontextmanager
            async def working(*kinds: JobKind, places: int, timing: Timing) -> AsyncGenerator[None]:
                workers = JobWorkers(
                    kinds,
                    database,
                    jobs,
                    doorbell,
                    timing=timing,
                    places={"maintenance": places, "builds": places, "files": 1},
                    start_delay=0,
                )
                task = asyncio.create_task(workers.run())
                try:
                    yield
                finally:
                    task.cancel()
                    (error,) = await asyncio.gather(task, return_exceptions=True)
                    assert isinstance(error, asyncio.CancelledError), repr(error)

            yield cls(jobs, working, replace(TIMING, stalled=stalled))

    def working(
        self, *kinds: JobKind, places: int = 4, timing: Timing | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Run a worker until the block ends, then drain it; its error fails the test."""
        return self._working(*kinds, places=places, timing=timing or self._timing)

    async def submit(
        self, kind: str, arguments: Mapping[str, Any] | None = None, *, once: str | None = None
    ) -> Job:
        return await self.jobs.submit(kind, arguments or {}, actor="token:test", once=once)

    async def wait_for(
        self, job: Job | UUID, *states: JobState, timeout_seconds: float = 20.0
    ) -> Job:
        """The job, once it is in one of these states; without states, once it is finished."""
        return await self.wait_until(
            job, lambda it: it.state in (states or FINISHED), timeout_seconds
        )

    async def wait_until(
        self, job: Job | UUID, condition: Callable[[Job], bool], timeout_seconds: float = 20.0
    ) -> Job:
        """The job, once the condition holds."""
        job_id = job.id if isinstance(job, Job) else job
        found = None
        try:
            async with asyncio.timeout(timeout_seconds):
                while (found := await self.jobs.job(job_id)) is None or not condition(found):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"still {found}") from None
        return found


def kind(
    run: Callable[[JobRun], Awaitable[dict[str, Any]]], name: str = "work", tries: int = 3
) -> JobKind:
    return JobKind(name=name, run=run, tries=tries)


async def echo(run: JobRun) -> dict[str, Any]:
    """Returns its arguments."""
    return dict(run.arguments)


async def endless(run: JobRun) -> dict[str, Any]:
    """Reports progress and never ends."""
    done = 0
    while True:
        done += 1
        await run.report(done, 1_000_000)
        await asyncio.sleep(0.01)


async def silent(_: JobRun) -> dict[str, Any]:
    """Reports nothing and never ends."""
    await asyncio.Event().wait()
    return {}
