"""A worker: takes jobs, a few at once, and runs each to its end."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, NoReturn

from msgspec import Struct
from structlog import get_logger

from application.doorbell import Doorbell
from application.errors import Unavailable
from application.failures import describe
from application.jobs.ledger import (
    JOBS,
    Failed,
    JobLedger,
    Outcome,
    Taken,
)
from application.jobs.model import JobKind
from application.jobs.runs import RETRY_SECONDS, Run
from application.retry import BackOff

SLOTS: Final = 4

_AGAIN_SECONDS: Final = 0.5

log = get_logger(__name__)


class Timing(Struct, frozen=True, kw_only=True):
    """In seconds. `poll`: the interval of look-ups without a bell; `pulse`: the interval of
    heartbeats, which also deliver cancels; `idle`: the same without runs; `grace`: how long a
    cancelled run may take to end by itself; `drain`: the same after the worker's stop; `retry`:
    the pause after the first failure, doubled after each further one.
    """

    poll: float = 2.0
    pulse: float = 0.5
    idle: float = 3.0
    grace: float = 2.0
    drain: float = 10.0
    retry: float = RETRY_SECONDS


class JobWorker:
    """Runs jobs of these kinds, `slots` at once, until it is cancelled; then it drains.

    Runs that do not end in time go back to the queue and do not count as failures.
    """

    def __init__(
        self,
        kinds: Iterable[JobKind],
        ledger: JobLedger,
        *,
        slots: int = SLOTS,
        timing: Timing | None = None,
    ) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._ledger = ledger
        self._timing = timing or Timing()
        self._slots = asyncio.Semaphore(slots)
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._began = asyncio.Event()

    async def run(self, doorbell: Doorbell) -> NoReturn:
        """Run until cancelled. Raises an error that a retry cannot solve, after the runs are requeued."""
        taking = asyncio.create_task(self._take(doorbell))
        pulse = asyncio.create_task(self._pulse())
        try:
            await asyncio.wait({taking, pulse}, return_when=asyncio.FIRST_COMPLETED)
            ended = [each.exception() for each in (taking, pulse) if each.done()]
            raise next(error for error in ended if error is not None)
        finally:
            await _cancel(taking)
            await self._drain()
            await _cancel(pulse)

    async def _take(self, doorbell: Doorbell) -> NoReturn:
        back_off = BackOff("worker")
        async with doorbell.listen(JOBS) as bell:
            while True:
                await self._slots.acquire()
                taken = None
                try:
                    taken = await self._ledger.take(self._kinds_with_room())
                except Unavailable as error:
                    await back_off.wait(error)
                else:
                    back_off.reset()
                    if taken is None:
                        await bell.wait(self._timing.poll)
                finally:
                    if taken is None:
                        self._slots.release()
                if taken is not None:
                    self._start(taken)

    def _kinds_with_room(self) -> list[str]:
        running = Counter(run.taken.kind for run in self._runs.values())
        return [
            kind.name
            for kind in self._kinds.values()
            if kind.at_once is None or running[kind.name] < kind.at_once
        ]

    def _start(self, taken: Taken) -> None:
        run = Run(taken, self._timing.retry)
        task = asyncio.create_task(self._run_to_end(run))
        self._runs[task] = run
        self._began.set()

        def ended(_: asyncio.Task[None]) -> None:
            del self._runs[task]
            self._slots.release()

        task.add_done_callback(ended)

    async def _run_to_end(self, run: Run) -> None:
        kind = self._kinds[run.taken.kind]
        log.info("job_runs", kind=kind.name, job=str(run.id), attempt=run.attempt)
        outcome = await run.outcome(kind)
        if outcome is None:
            log.info("job_run_is_outdated", kind=kind.name, job=str(run.id), attempt=run.attempt)
            return
        await self._record(run, outcome)
        log.info("job_run_ended", kind=kind.name, job=str(run.id), outcome=type(outcome).__name__)

    async def _record(self, run: Run, outcome: Outcome) -> None:
        """Retry until the outcome is recorded: meanwhile no other worker takes the job."""
        back_off = BackOff("worker")
        while run.asked != "lost":
            try:
                await self._ledger.end(run.taken, run.pace.progress, outcome)
            except Unavailable as error:
                await back_off.wait(error)
            except ValueError as error:
                # The store refuses the result as JSON; it accepts an error text.
                log.warning("job_result_is_refused", job=str(run.id), error=describe(error))
                outcome = Failed(describe(error))
            else:
                return

    async def _pulse(self) -> NoReturn:
        back_off = BackOff("worker")
        while True:
            self._began.clear()
            runs = {run.id: run for run in self._runs.values()}
            try:
                asked = await self._ledger.pulse({each: run.now for each, run in runs.items()})
            except Unavailable as error:
                await back_off.wait(error)
                continue
            back_off.reset()
            for each, what in asked.items():
                runs[each].ask(what, self._timing.grace)
            if runs:
                await asyncio.sleep(self._timing.pulse)
            else:
                await _wait_for(self._began, self._timing.idle)

    async def _drain(self) -> None:
        if self._runs:
            await asyncio.wait(self._runs, timeout=self._timing.drain)
        for run in self._runs.values():
            run.stop()
        if self._runs:
            await asyncio.wait(self._runs, timeout=self._timing.grace)
        for task, run in list(self._runs.items()):
            log.warning("job_run_left_behind", kind=run.taken.kind, job=str(run.id))
            task.cancel()


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it ends: a client library may lose one cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_SECONDS)
    await asyncio.gather(task, return_exceptions=True)
