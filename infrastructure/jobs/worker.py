"""The workers of a process: procrastinate's own, one for each class of jobs."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any, Final, NoReturn, Protocol
from uuid import UUID

from msgspec import Struct
from procrastinate import App, JobContext, RetryStrategy
from procrastinate.worker import Worker
from structlog import get_logger

from application.doorbell import Doorbell
from application.errors import Unavailable
from application.jobs.ledger import Taken
from application.jobs.model import PLACES, JobClass, JobKind, class_of
from application.jobs.runs import Runner, Timing
from application.retry import BackOff
from infrastructure.database import Database
from infrastructure.jobs.ledger import PostgresJobLedger
from infrastructure.jobs.lost import LostRuns, Sweep
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.jobs.queue import REACTION_TASK, REACTIONS, TASK, QueueConnector

# The actor of scheduled jobs, and their `once` key: one unfinished scheduled job per kind.
SCHEDULE: Final = "system:schedule"
# No scheduled job competes with the start of a process.
START_DELAY_SECONDS: Final = 60.0

# A job that was due while no worker ran is submitted once, if that is less than a day ago.
_MAX_DELAY_SECONDS: Final = 86400.0
# A start after an outage must not take the workers for dead whose heartbeats the outage prevented.
_PRUNE_SECONDS: Final = 600.0
_RETRY_SECONDS: Final = 5
_SCHEDULER: Final = "schedule"

# An end of a run makes the next one ready, and a bell may be missed.
_REACTIONS_POLL_SECONDS: Final = 1.0

log = get_logger(__name__)


class Run(Protocol):
    """One run of an entry."""

    async def to_end(self) -> None:
        """Do the work, and record its outcome."""
        ...

    def stop(self) -> None:
        """Cancel the work; the run goes back to the queue."""
        ...


class ReactionWork(Struct, frozen=True, kw_only=True):
    """The runs of reactions: of an entry, those that are lost, and how many to do at once."""

    run: Callable[[int], Run]
    lost: LostRuns
    places: int


class JobWorkers:
    """Runs jobs of these kinds, and reactions, until it is cancelled; then it drains.

    Runs that do not end in time go back to the queue and do not count as failures.
    """

    def __init__(
        self,
        kinds: Iterable[JobKind],
        database: Database,
        jobs: PostgresJobs,
        doorbell: Doorbell,
        *,
        reactions: ReactionWork | None = None,
        timing: Timing | None = None,
        places: Mapping[JobClass, int] = PLACES,
        start_delay: float = START_DELAY_SECONDS,
    ) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._jobs = jobs
        self._ledger = PostgresJobLedger(database)
        self._timing = timing or Timing()
        self._connector = QueueConnector(database, doorbell)
        classes = {class_of(name) for name in self._kinds}
        self._workers = [
            self._worker(job_class, number)
            for job_class, number in places.items()
            if job_class in classes
        ]
        lost: dict[str, LostRuns] = {TASK: self._ledger}
        if reactions is not None:
            self._workers.append(self._reaction_worker(reactions))
            lost[REACTION_TASK] = reactions.lost
        self._sweep = Sweep(lost, self._workers[0].app.job_manager, self._timing)
        self._schedule_from = monotonic() + start_delay
        # Jobs begin in the order in which procrastinate took their entries.
        self._beginning = asyncio.Lock()

    async def run(self) -> NoReturn:
        """Run until cancelled. Raises an error that a retry cannot solve."""
        working = [asyncio.create_task(self._keep_working(worker)) for worker in self._workers]
        sweeping = asyncio.create_task(self._sweep.run())
        try:
            await asyncio.wait({sweeping})
            raise sweeping.exception() or AssertionError("the sweep never ends")
        finally:
            self._connector.close()
            sweeping.cancel()
            for worker in self._workers:
                worker.stop()
            await asyncio.gather(sweeping, *working, return_exceptions=True)

    def _worker(self, job_class: JobClass, places: int) -> Worker:
        app = self._app()
        app.task(name=TASK, queue=job_class, pass_context=True)(self._run)
        schedule = app.task(
            name=_SCHEDULER, queue=job_class, retry=RetryStrategy(wait=_RETRY_SECONDS)
        )(self._submit_scheduled)
        for kind in self._kinds.values():
            if kind.schedule is not None and class_of(kind.name) == job_class:
                app.periodic(
                    cron=kind.schedule, periodic_id=kind.name, task_kwargs={"kind": kind.name}
                )(schedule)
        return self._worker_of(app, job_class, places, self._timing.poll)

    def _reaction_worker(self, reactions: ReactionWork) -> Worker:
        async def react(context: JobContext, **_: Any) -> None:
            assert context.job.id is not None
            await self._to_end(reactions.run(context.job.id), task=REACTION_TASK)

        app = self._app()
        app.task(name=REACTION_TASK, queue=REACTIONS, pass_context=True)(react)
        poll = min(self._timing.poll, _REACTIONS_POLL_SECONDS)
        return self._worker_of(app, REACTIONS, reactions.places, poll)

    def _app(self) -> App:
        return App(connector=self._connector, periodic_defaults={"max_delay": _MAX_DELAY_SECONDS})

    def _worker_of(self, app: App, queue: str, places: int, poll: float) -> Worker:
        return Worker(
            app,
            queues=[queue],
            name=queue,
            concurrency=places,
            fetch_job_polling_interval=poll,
            shutdown_graceful_timeout=self._timing.drain,
            delete_jobs="always",
            install_signal_handlers=False,
            update_heartbeat_interval=self._timing.heartbeat,
            stalled_worker_timeout=_PRUNE_SECONDS,
        )

    async def _keep_working(self, worker: Worker) -> None:
        """A worker ends when others took it for dead; it then starts again under a new number."""
        back_off = BackOff("worker")
        while not self._connector.is_closed:
            try:
                await worker.run()
                error = Unavailable()
            except Exception as failure:
                error = failure
            if not self._connector.is_closed:
                await back_off.wait(error)

    async def _run(self, context: JobContext, *, job: str) -> None:
        """Run the job of an entry; after a cancellation, the worker stops and the job is queued."""
        assert context.job.id is not None
        taken = await self._begin(UUID(job), context.job.id)
        if taken is None:
            return
        run = Runner(taken, self._kinds[taken.kind], self._ledger, self._timing)
        await self._to_end(run, kind=taken.kind, job=job)

    async def _to_end(self, run: Run, **what: str) -> None:
        ending = asyncio.create_task(run.to_end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            run.stop()
            _, late = await asyncio.wait({ending}, timeout=2 * self._timing.grace)
            if late:
                log.warning("job_run_left_behind", **what)
                ending.cancel()

    async def _begin(self, job: UUID, entry: int) -> Taken | None:
        back_off = BackOff("worker")
        async with self._beginning:
            while True:
                try:
                    return await self._ledger.begin(job, entry, self._kinds)
                except Unavailable as error:
                    await back_off.wait(error)

    async def _submit_scheduled(self, timestamp: int, kind: str) -> None:
        left = self._schedule_from - monotonic()
        if left <= 0:
            await self._jobs.submit(kind, {}, actor=SCHEDULE, once=SCHEDULE)
            log.info("job_scheduled", kind=kind)
            return
        app = self._workers[0].app
        later = app.configure_task(_SCHEDULER, queue=class_of(kind), schedule_in={"seconds": left})
        await later.defer_async(timestamp=timestamp, kind=kind)
