"""Jobs for tests, in memory and in Postgres, with short intervals for their workers."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol, Self
from uuid import UUID

from uuid_utils.compat import uuid7

from application.doorbell import Doorbell
from application.jobs.ledger import JobLedger
from application.jobs.model import FINISHED, Job, JobKind, JobList, JobRun, Jobs, JobState
from application.jobs.worker import JobWorker, Timing
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.jobs.ledger import PostgresJobLedger
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.jobs.sessions import JobSessions
from tests.support.doubles.jobs import InMemoryJobs

TIMING: Final = Timing(poll=0.1, pulse=0.05, idle=0.1, grace=0.3, drain=0.3, retry=0.05)
BEAT: Final = 0.2
DEAD_AFTER: Final = 2.0


class JobStore(Jobs, JobList, Protocol): ...


class Bench:
    """A job store, and workers that run its jobs."""

    def __init__(
        self,
        jobs: JobStore,
        ledger: Callable[[], AbstractAsyncContextManager[JobLedger]],
        doorbell: Doorbell,
    ) -> None:
        self.jobs = jobs
        self.ledger = ledger
        self._doorbell = doorbell

    @classmethod
    @asynccontextmanager
    async def in_memory(cls) -> AsyncGenerator[Self]:
        jobs = InMemoryJobs(uuid7)

        @asynccontextmanager
        async def ledger() -> AsyncGenerator[JobLedger]:
            yield jobs

        yield cls(jobs, ledger, jobs)

    @classmethod
    @asynccontextmanager
    async def in_postgres(
        cls,
        url: str,
        sessions_of: type[JobSessions] = JobSessions,
        dead_after: float = DEAD_AFTER,
    ) -> AsyncGenerator[Self]:
        async with AsyncExitStack() as stack:
            sessions = await stack.enter_async_context(sessions_of.open(url))
            doorbell = await stack.enter_async_context(PostgresDoorbell.open(url))

            def ledger() -> AbstractAsyncContextManager[JobLedger]:
                return PostgresJobLedger.open(sessions, heartbeat=BEAT, dead_after=dead_after)

            yield cls(PostgresJobs(sessions, uuid7), ledger, doorbell)

    @asynccontextmanager
    async def working(
        self, *kinds: JobKind, slots: int = 4, timing: Timing = TIMING
    ) -> AsyncGenerator[None]:
        """Run a worker until the block ends, then drain it; its error fails the test."""
        async with self.ledger() as ledger:
            worker = JobWorker(kinds, ledger, slots=slots, timing=timing)
            task = asyncio.create_task(worker.run(self._doorbell))
            try:
                yield
            finally:
                task.cancel()
                (error,) = await asyncio.gather(task, return_exceptions=True)
                assert isinstance(error, asyncio.CancelledError), repr(error)

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
