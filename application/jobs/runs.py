"""One run of a job: its progress, its pace and its outcome."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final
from uuid import UUID

from structlog import get_logger

from application.errors import ApplicationError, OutcomeUnknown, Overloaded, Unavailable
from application.failures import describe, places
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
from application.jobs.model import JobCancelled, JobFailed, JobKind, Progress

# Outages of other servers: such a run does not count as a try.
OUTAGES: Final = (Unavailable, Overloaded, OutcomeUnknown)

RETRY_SECONDS: Final = 2.0
_LONGEST_SECONDS: Final = 60.0

log = get_logger(__name__)


class Pace:
    """The progress and rate of a run, from its first report on: a run may resume midway."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._last = 0.0
        self._done = 0
        self._total: int | None = None

    def report(self, done: int, total: int | None) -> None:
        self._last = self._clock()
        self._done, self._total = done, total
        if self._first is None:
            self._first = (done, self._last)

    @property
    def progress(self) -> Progress:
        return progress_of(self._done, self._total, self._rate)

    @property
    def _rate(self) -> float | None:
        if self._first is None:
            return None
        done, seconds = self._done - self._first[0], self._last - self._first[1]
        return done / seconds if done > 0 and seconds > 0 else None


class Run:
    """See `JobRun`. A report does no I/O: the worker's pulse sends it."""

    def __init__(self, taken: Taken, retry: float = RETRY_SECONDS) -> None:
        self.taken = taken
        self.pace = Pace()
        self._retry = retry
        self.asked: Asked | None = None
        self._stopped = False
        self._work: asyncio.Task[dict[str, Any]] | None = None

    @property
    def id(self) -> UUID:
        return self.taken.id

    @property
    def arguments(self) -> Mapping[str, Any]:
        return self.taken.arguments

    @property
    def actor(self) -> str:
        return self.taken.actor

    @property
    def attempt(self) -> int:
        return self.taken.attempt

    @property
    def now(self) -> RunNow:
        return RunNow(self.attempt, self.pace.progress)

    async def report(self, done: int, total: int | None = None) -> None:
        """See `JobRun.report`."""
        self.pace.report(done, total)
        # Without this, work that never awaits would block the pulse.
        await asyncio.sleep(0)
        if self.asked is not None:
            raise JobCancelled

    def ask(self, what: Asked, grace: float) -> None:
        """Cancel the run; work that does not report is cancelled after `grace` seconds."""
        if what == self.asked:
            return
        self.asked = what
        asyncio.get_running_loop().call_later(0 if what == "lost" else grace, self._cancel_work)

    def stop(self) -> None:
        """Cancel the work; the job goes back to the queue."""
        self._stopped = True
        self._cancel_work()

    async def outcome(self, kind: JobKind) -> Outcome | None:
        """Do the work. Returns the outcome of the job, None if the run is outdated."""
        self._work = asyncio.create_task(_work(kind, self))
        try:
            await asyncio.wait({self._work})
        finally:
            self._cancel_work()
        error = asyncio.CancelledError() if self._work.cancelled() else self._work.exception()
        if self.asked == "lost":
            return None
        if error is None:
            return Succeeded(self._work.result())
        if self.asked == "cancel" or isinstance(error, JobCancelled):
            return Cancelled()
        if self._stopped and isinstance(error, asyncio.CancelledError):
            return Requeued()
        return self._failed(error, kind.tries)

    def _failed(self, error: BaseException, tries: int) -> Outcome:
        if isinstance(error, OUTAGES):
            seconds = retry_seconds(self.attempt, self._retry)
            return Requeued(seconds=seconds, error=error_of(error))
        if isinstance(error, JobFailed):
            return Failed(error_of(error))
        what = {"kind": self.taken.kind, "job": str(self.id), "error": type(error).__name__}
        log.warning("job_run_failed", **what, at=places(error))
        if self.taken.failures + 1 >= tries:
            return Failed(error_of(error))
        seconds = retry_seconds(self.taken.failures + 1, self._retry)
        return Requeued(seconds=seconds, error=error_of(error), failed=True)

    def _cancel_work(self) -> None:
        if self._work is not None:
            self._work.cancel()


async def _work(kind: JobKind, run: Run) -> dict[str, Any]:
    result = await kind.run(run)
    # Raises here, inside the work, if the result is not JSON.
    json.dumps(result, allow_nan=False)
    return result


def progress_of(
    done: int, total: int | None, rate: float | None, *, running: bool = True
) -> Progress:
    """The progress; while the job runs, with the seconds left at this rate."""
    eta = max(total - done, 0) / rate if running and rate and total is not None else None
    return Progress(done=done, total=total, rate=rate, eta_seconds=eta)


def error_of(error: BaseException) -> str:
    """The text of a job's `error`; messages of unknown errors may hold personal data."""
    match error:
        case JobFailed():
            return str(error)
        case ApplicationError():
            return f"{type(error).__name__}: {error}"
        case _:
            return describe(error)


def retry_seconds(runs: int, first: float = RETRY_SECONDS) -> float:
    """The pause after this many runs: doubles each time, up to a minute, with jitter."""
    longest = min(first * 2 ** min(runs - 1, 10), _LONGEST_SECONDS)
    return longest * random.uniform(0.5, 1)  # noqa: S311
