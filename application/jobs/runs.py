"""One run of a job: its work, its pulse and its outcome."""

import asyncio
import json
import random
from typing import Any, Final

from msgspec import Struct
from structlog import get_logger

from application.errors import ApplicationError, OutcomeUnknown, Overloaded, Unavailable
from application.failures import describe, places
from application.jobs.ledger import JobLedger, Outcome, Taken
from application.jobs.model import JobCancelled, JobFailed, JobKind, JobRun
from application.retry import BackOff, raise_if_cancelled

# Outages of other servers: such a run does not count as a try.
OUTAGES: Final = (Unavailable, Overloaded, OutcomeUnknown)

_LONGEST_SECONDS: Final = 60.0

log = get_logger(__name__)


class Timing(Struct, frozen=True, kw_only=True):
    """In seconds. `pulse`: the interval at which a run stores its progress and gets a cancel;
    `grace`: how long a cancelled run may take to end by itself; `drain`: the same after the
    worker's stop; `retry`: the pause after the first failure, doubled after each further one;
    `poll`: the interval of look-ups without a bell; `heartbeat`: that of a worker; `stalled`: a
    worker without one for this time has lost its jobs; `sweep`: the interval of looking for these.
    """

    pulse: float = 0.5
    grace: float = 2.0
    drain: float = 10.0
    retry: float = 2.0
    poll: float = 5.0
    heartbeat: float = 3.0
    stalled: float = 12.0
    sweep: float = 5.0


class Runner:
    """Does the work of one run to its end."""

    def __init__(self, taken: Taken, kind: JobKind, ledger: JobLedger, timing: Timing) -> None:
        self._taken = taken
        self._kind = kind
        self._ledger = ledger
        self._timing = timing
        self._run = JobRun(taken.id, taken.arguments, taken.actor, taken.attempt)
        self._stopped = False
        self._work: asyncio.Task[dict[str, Any]] | None = None

    def stop(self) -> None:
        """Cancel the work; the job goes back to the queue."""
        self._stopped = True
        self._cancel_work()

    async def to_end(self) -> None:
        """Do the work, and record its outcome."""
        what = {"kind": self._kind.name, "job": str(self._run.id), "attempt": self._run.attempt}
        log.info("job_runs", **what)
        self._work = asyncio.create_task(_work(self._kind, self._run))
        if self._stopped:
            self._cancel_work()
        pulse = asyncio.create_task(self._pulse())
        try:
            await asyncio.wait({self._work})
            outcome = self._outcome(self._work)
            await self._record(outcome)
        finally:
            self._cancel_work()
            pulse.cancel()
        if self._run.asked == "lost":
            log.info("job_run_is_outdated", **what)
        else:
            log.info("job_run_ended", **what, outcome=outcome.state)

    async def _pulse(self) -> None:
        back_off = BackOff("worker")
        while True:
            raise_if_cancelled()
            await asyncio.sleep(self._timing.pulse)
            try:
                asked = await self._ledger.report(self._taken, self._run.pace.progress)
            except Unavailable as error:
                await back_off.wait(error)
                continue
            back_off.reset()
            if asked is not None and asked != self._run.asked:
                self._run.asked = asked
                grace = 0 if asked == "lost" else self._timing.grace
                asyncio.get_running_loop().call_later(grace, self._cancel_work)

    def _outcome(self, work: asyncio.Task[dict[str, Any]]) -> Outcome:
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if error is None:
            return Outcome(state="succeeded", result=work.result())
        if self._run.asked is not None or isinstance(error, JobCancelled):
            return Outcome(state="cancelled")
        if self._stopped and isinstance(error, asyncio.CancelledError):
            return Outcome(state="queued")
        text = error_of(error)
        if isinstance(error, OUTAGES):
            seconds = retry_seconds(self._run.attempt, self._timing.retry)
            return Outcome(state="queued", seconds=seconds, error=text)
        if isinstance(error, JobFailed):
            return Outcome(state="failed", error=text, failed=True)
        what = {"kind": self._kind.name, "job": str(self._run.id), "error": type(error).__name__}
        log.warning("job_run_failed", **what, at=places(error))
        failures = self._taken.failures + 1
        if failures >= self._kind.tries:
            return Outcome(state="failed", error=text, failed=True)
        seconds = retry_seconds(failures, self._timing.retry)
        return Outcome(state="queued", seconds=seconds, error=text, failed=True)

    async def _record(self, outcome: Outcome) -> None:
        """Retry until the outcome is recorded: meanwhile no other worker runs the job."""
        back_off = BackOff("worker")
        while self._run.asked != "lost":
            try:
                await self._ledger.end(self._taken, self._run.pace.progress, outcome)
            except Unavailable as error:
                await back_off.wait(error)
            except ValueError as error:
                # The store refuses the result as JSON; it accepts an error text.
                log.warning("job_result_is_refused", job=str(self._run.id), error=describe(error))
                outcome = Outcome(state="failed", error=describe(error), failed=True)
            else:
                return

    def _cancel_work(self) -> None:
        if self._work is not None:
            self._work.cancel()


async def _work(kind: JobKind, run: JobRun) -> dict[str, Any]:
    result = await kind.run(run)
    # Raises here, inside the work, if the result is not JSON.
    json.dumps(result, allow_nan=False)
    return result


def error_of(error: BaseException) -> str:
    """The text of a job's `error`; messages of unknown errors may hold personal data."""
    match error:
        case JobFailed():
            return str(error)
        case ApplicationError():
            return f"{type(error).__name__}: {error}"
        case _:
            return describe(error)


def retry_seconds(runs: int, first: float) -> float:
    """The pause after this many runs: doubles each time, up to a minute, with jitter."""
    longest = min(first * 2 ** min(runs - 1, 10), _LONGEST_SECONDS)
    return longest * random.uniform(0.5, 1)  # noqa: S311
