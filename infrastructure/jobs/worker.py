"""The workers of a process: procrastinate's own, one for each class of jobs."""

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Final, NoReturn
from uuid import UUID

from procrastinate import App, JobContext, RetryStrategy
from procrastinate.jobs import Status
from procrastinate.worker import Worker
from structlog import get_logger

from application.doorbell import Doorbell
from application.errors import Unavailable
from application.jobs.ledger import Taken
from application.jobs.model import PLACES, JobClass, JobKind, class_of
from application.jobs.runs import Runner, Timing
from application.retry import BackOff, raise_if_cancelled
from infrastructure.database import Database
from infrastructure.jobs.ledger import Lost, PostgresJobLedger
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.jobs.queue import TASK, QueueConnector

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

log = get_logger(__name__)


class JobWorkers:
    """Runs jobs of these kinds until it is cancelled; then it drains.

    Runs that do not end in time go back to the queue and do not count as failures.
    """

    def __init__(
        self,
        kinds: Iterable[JobKind],
        database: Database,
        jobs: PostgresJobs,
        doorbell: Doorbell,
        *,
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
        self._schedule_from = monotonic() + start_delay
        # Jobs begin in the order in which procrastinate took their entries.
        self._beginning = asyncio.Lock()

    async def run(self) -> NoReturn:
        """Run until cancelled. Raises an error that a retry cannot solve."""
        working = [asyncio.create_task(self._keep_working(worker)) for worker in self._workers]
        sweeping = asyncio.create_task(self._sweep())
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
        app = App(connector=self._connector, periodic_defaults={"max_delay": _MAX_DELAY_SECONDS})
        app.task(name=TASK, queue=job_class, pass_context=True)(self._run)
        schedule = app.task(
            name=_SCHEDULER, queue=job_class, retry=RetryStrategy(wait=_RETRY_SECONDS)
        )(self._submit_scheduled)
        for kind in self._kinds.values():
            if kind.schedule is not None and class_of(kind.name) == job_class:
                app.periodic(
                    cron=kind.schedule, periodic_id=kind.name, task_kwargs={"kind": kind.name}
                )(schedule)
        return Worker(
            app,
            queues=[job_class],
            name=job_class,
            concurrency=places,
            fetch_job_polling_interval=self._timing.poll,
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
        ending = asyncio.create_task(run.to_end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            run.stop()
            _, late = await asyncio.wait({ending}, timeout=2 * self._timing.grace)
            if late:
                log.warning("job_run_left_behind", kind=taken.kind, job=job)
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

    async def _sweep(self) -> NoReturn:
        """Give the jobs of dead workers, and those whose entry was lost, a new entry."""
        back_off = BackOff("worker")
        seen = frozenset[Lost]()
        # After an outage, or a freeze of this process, each worker has time for a heartbeat.
        last, connected_since = monotonic(), monotonic()
        while True:
            raise_if_cancelled()
            await asyncio.sleep(self._timing.sweep)
            try:
                now = monotonic()
                if now > last + self._timing.sweep + self._timing.stalled / 2:
                    connected_since = now
                can_judge = now - connected_since >= self._timing.stalled
                found = frozenset(await self._ledger.lost(self._timing.stalled))
                for lost in found:
                    is_certain = can_judge if lost.dead else lost in seen
                    if is_certain and await self._ledger.revive(lost):
                        log.warning("job_revived", job=str(lost.id))
                if can_judge:
                    await self._drop_stalled()
            except Unavailable as error:
                await back_off.wait(error)
            else:
                back_off.reset()
                seen, last = found, monotonic()

    async def _drop_stalled(self) -> None:
        """Delete the entries that dead workers left; their jobs have new ones."""
        manager = self._workers[0].app.job_manager
        stalled = await manager.get_stalled_jobs(seconds_since_heartbeat=self._timing.stalled)
        for entry in stalled:
            if entry.task_name == TASK:
                await manager.finish_job(entry, Status.ABORTED, delete_job=True)
            else:
                await manager.retry_job(entry)
