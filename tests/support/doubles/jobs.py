"""In-memory jobs for tests; they pass the same contract suite as the real ones."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from application.exports.requests import EXPORT
from application.jobs.ledger import (
    Asked,
    Cancelled,
    Failed,
    Outcome,
    Requeued,
    RunNow,
    Succeeded,
    Taken,
)
from application.jobs.model import FINISHED, Job, JobKind, JobPage, JobQuery, Progress
from application.jobs.worker import JobWorker, Timing

_TIMING = Timing(pulse=0.01, idle=0.01, grace=0.1, drain=0.1)


class InMemoryJobs:
    """Jobs, their list, and the ledger of one worker, which `run_queued` and `working` start.

    A job that is retried is ready at once.
    """

    def __init__(self, new_id: Callable[[], UUID], *kinds: JobKind) -> None:
        self._new_id = new_id
        self._kinds = kinds
        self._jobs: dict[UUID, Job] = {}
        self._once: dict[tuple[str, str], UUID] = {}
        self._failures: dict[UUID, int] = {}
        self._cancelled: set[UUID] = set()
        self._rung = asyncio.Event()
        self._changed = asyncio.Event()

    async def submit(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        *,
        actor: str,
        once: str | None = None,
        job_id: UUID | None = None,
    ) -> Job:
        if job_id is not None and (same := self._jobs.get(job_id)):
            return same
        if once is not None and (same := self._once.get((kind, once))):
            known = self._jobs[same]
            if known.state not in FINISHED:
                return known
        job = Job(
            id=job_id or self._new_id(),
            kind=kind,
            state="queued",
            arguments=json.loads(json.dumps(dict(arguments))),
            actor=actor,
            progress=Progress(),
            created_at=_now(),
        )
        self._jobs[job.id] = job
        if once is not None:
            self._once[kind, once] = job.id
        self._rung.set()
        return job

    async def job(self, job_id: UUID) -> Job | None:
        return self._jobs.get(job_id)

    async def cancel(self, job_id: UUID) -> Job | None:
        match self._jobs.get(job_id):
            case Job(state="queued"):
                self._change(job_id, state="cancelled", finished_at=_now())
            case Job(state="running"):
                self._cancelled.add(job_id)
            case _:
                pass
        return self._jobs.get(job_id)

    async def jobs(self, query: JobQuery) -> JobPage:
        found = sorted(self._jobs.values(), key=lambda job: job.id, reverse=True)
        if query.states:
            found = [job for job in found if job.state in query.states]
        if query.exports_of is not None:
            found = [job for job in found if (job.kind, job.actor) == (EXPORT, query.exports_of)]
        if query.before is not None:
            found = [job for job in found if job.id < query.before]
        page = found[: query.limit]
        return JobPage(page, page[-1].id if len(found) > len(page) else None)

    def add_kinds(self, *kinds: JobKind) -> None:
        """Let the worker run these kinds, too."""
        self._kinds = (*self._kinds, *kinds)

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """Run a worker until the block ends."""
        worker = asyncio.create_task(JobWorker(self._kinds, self, timing=_TIMING).run(self))
        try:
            yield
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def run_queued(self) -> None:
        """Run a worker until all queued jobs of its kinds are finished."""
        known = {kind.name for kind in self._kinds}
        async with self.working():
            while any(j.kind in known and j.state not in FINISHED for j in self._jobs.values()):
                self._changed.clear()
                await self._changed.wait()

    async def take(self, kinds: Collection[str]) -> Taken | None:
        ready = (j for j in self._jobs.values() if j.state == "queued" and j.kind in kinds)
        if (job := next(ready, None)) is None:
            return None
        attempt = job.attempts + 1
        self._change(
            job.id, state="running", attempts=attempt, started_at=_now(), progress=Progress()
        )
        return Taken(
            id=job.id,
            kind=job.kind,
            arguments=job.arguments,
            actor=job.actor,
            attempt=attempt,
            failures=self._failures.get(job.id, 0),
        )

    async def end(self, taken: Taken, progress: Progress, outcome: Outcome) -> None:
        if self._is_lost(taken.id, taken.attempt):
            return
        progress = replace(progress, eta_seconds=None)
        ends: dict[str, Any] = {"progress": progress, "finished_at": _now()}
        match outcome:
            case Succeeded(result):
                self._change(taken.id, state="succeeded", result=result, error=None, **ends)
            case Failed(error):
                self._change(taken.id, state="failed", error=error, **ends)
            case Requeued(error=error) if taken.id not in self._cancelled:
                self._failures[taken.id] = taken.failures + outcome.failed
                self._change(taken.id, state="queued", error=error, progress=progress)
                self._rung.set()
            case Requeued() | Cancelled():
                self._change(taken.id, state="cancelled", **ends)

    async def pulse(self, runs: Mapping[UUID, RunNow]) -> Mapping[UUID, Asked]:
        for job_id, run in runs.items():
            if not self._is_lost(job_id, run.attempt):
                self._change(job_id, progress=run.progress)
        return {job_id: "cancel" for job_id in runs if job_id in self._cancelled}

    def ring(self, name: str) -> None:
        """See `Doorbell`; every name rings the bell of the jobs."""
        self._rung.set()

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncGenerator["InMemoryJobs"]:
        yield self

    async def wait(self, seconds: float) -> bool:
        rang = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                rang = await self._rung.wait()
        self._rung.clear()
        return rang

    def _is_lost(self, job_id: UUID, attempt: int) -> bool:
        job = self._jobs[job_id]
        return job.state != "running" or job.attempts != attempt

    def _change(self, job_id: UUID, **changes: Any) -> None:
        self._jobs[job_id] = replace(self._jobs[job_id], **changes)
        self._changed.set()


def _now() -> datetime:
    return datetime.now(UTC)
