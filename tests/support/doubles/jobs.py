"""In-memory jobs for tests; they pass the same contract suite as the real ones."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from application.exports.requests import EXPORT
from application.jobs.ledger import Outcome, Taken
from application.jobs.model import FINISHED, Asked, Job, JobKind, JobPage, JobQuery
from application.jobs.pace import Progress
from application.jobs.runs import Runner, Timing
from application.jobs.swept import SweptJob, Waiting

_TIMING = Timing(pulse=0.01, grace=0.1, drain=0.1, poll=0.01)


class InMemoryJobs:
    """Jobs, their list, the swept ones, and the ledger of one worker, which `run_queued` and
    `working` start.

    A job that is retried is ready at once.
    """

    def __init__(self, new_id: Callable[[], UUID], *kinds: JobKind) -> None:
        self._new_id = new_id
        self._kinds = kinds
        self._jobs: dict[UUID, Job] = {}
        self._once: dict[tuple[str, str], UUID] = {}
        self._failures: dict[UUID, int] = {}
        self._cancelled: set[UUID] = set()
        self._waiting: dict[UUID, Waiting] = {}

    async def submit(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        *,
        actor: str,
        once: str | None = None,
        job_id: UUID | None = None,
        first: bool = False,
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
        # The worker runs them in this order.
        self._jobs = {job.id: job, **self._jobs} if first else {**self._jobs, job.id: job}
        if once is not None:
            self._once[kind, once] = job.id
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
    async def working(
        self, *kinds: JobKind, places: int = 4, timing: Timing = _TIMING
    ) -> AsyncGenerator[None]:
        """Run a worker until the block ends."""
        worker = asyncio.create_task(self._work((*self._kinds, *kinds), places, timing))
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
                await asyncio.sleep(_TIMING.poll)

    async def report(self, taken: Taken, progress: Progress) -> Asked | None:
        if self._is_lost(taken):
            return "lost"
        self._change(taken.id, progress=progress)
        return "cancel" if taken.id in self._cancelled else None

    async def end(self, taken: Taken, progress: Progress, outcome: Outcome) -> None:
        if self._is_lost(taken):
            return
        changes: dict[str, Any] = {"progress": replace(progress, eta_seconds=None)}
        if outcome.state != "queued":
            changes |= {"state": outcome.state, "result": outcome.result, "error": outcome.error}
        elif taken.id in self._cancelled:
            changes |= {"state": "cancelled"}
        else:
            self._failures[taken.id] = taken.failures + outcome.failed
            changes |= {"state": "queued", "error": outcome.error}
        if changes["state"] in FINISHED:
            changes["finished_at"] = _now()
        self._change(taken.id, **changes)

    async def unfinished(self, kind: str, after: UUID, limit: int) -> Sequence[SweptJob]:
        found = sorted(
            (
                job
                for job in self._jobs.values()
                if job.kind == kind and job.state not in FINISHED and job.id > after
            ),
            key=lambda job: job.id,
        )
        return [SweptJob(job.id, job.arguments, self._waiting.get(job.id)) for job in found[:limit]]

    async def note(self, jobs: Collection[UUID], waiting: Waiting) -> None:
        for job in jobs:
            if self._jobs[job].state not in FINISHED:
                self._waiting[job] = waiting
                self._change(job, progress=waiting.progress, error=waiting.error)

    async def succeed(self, results: Mapping[UUID, Mapping[str, Any]], done: int) -> None:
        for job, result in results.items():
            if self._jobs[job].state not in FINISHED:
                self._change(job, state="succeeded", error=None, attempts=1, result=dict(result))
                progress = Progress(done=done, total=done)
                self._change(job, progress=progress, started_at=_now(), finished_at=_now())

    async def _work(self, kinds: tuple[JobKind, ...], places: int, timing: Timing) -> None:
        known = {kind.name: kind for kind in kinds}
        runs: dict[asyncio.Task[None], Runner] = {}
        try:
            while True:
                ready = [j for j in self._jobs.values() if j.state == "queued" and j.kind in known]
                for job in ready[: places - len(runs)]:
                    run = Runner(self._begin(job), known[job.kind], self, timing)
                    runs[asyncio.create_task(run.to_end())] = run
                await asyncio.sleep(min(timing.poll, _TIMING.poll))
                for task in [task for task in runs if task.done()]:
                    del runs[task]
                    await task
        finally:
            if runs:
                await asyncio.wait(runs, timeout=timing.drain)
            for run in runs.values():
                run.stop()
            await asyncio.gather(*runs, return_exceptions=True)

    def _begin(self, job: Job) -> Taken:
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
            entry=0,
            failures=self._failures.get(job.id, 0),
        )

    def _is_lost(self, taken: Taken) -> bool:
        job = self._jobs[taken.id]
        return job.state != "running" or job.attempts != taken.attempt

    def _change(self, job_id: UUID, **changes: Any) -> None:
        self._jobs[job_id] = replace(self._jobs[job_id], **changes)


def _now() -> datetime:
    return datetime.now(UTC)
