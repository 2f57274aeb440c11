"""Jobs: long work that a caller submits and a worker does later, and the ports to them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol, get_args
from uuid import UUID

from msgspec import Struct

from application.jobs.pace import Pace, Progress

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

JOB_STATES: Final[tuple[JobState, ...]] = get_args(JobState)
FINISHED: Final[frozenset[JobState]] = frozenset({"succeeded", "failed", "cancelled"})

# A class of jobs has its own queue and its own places, so no class takes the places of another.
JobClass = Literal["maintenance", "builds", "files"]

# How many jobs of a class a worker runs at once.
PLACES: Final[Mapping[JobClass, int]] = {"maintenance": 4, "builds": 2, "files": 1}

_CLASSES: Final[Mapping[str, JobClass]] = {
    "rebuild": "builds",
    "rollback": "builds",
    "verify": "builds",
    "export": "files",
}


# Jobs of these kinds have no runs: see `application.jobs.swept`.
_SWEPT: Final = frozenset({"erasure"})


def is_swept(kind: str) -> bool:
    """Whether jobs of a kind are ended by a sweep, and so have no class and no queue."""
    return kind in _SWEPT


def class_of(kind: str) -> JobClass:
    """The class of the jobs of a kind."""
    return _CLASSES.get(kind, "maintenance")


# What is asked of a run. `lost`: it is outdated; the job has another run, or none.
Asked = Literal["cancel", "lost"]


class JobCancelled(Exception):
    """A caller asked to cancel the job."""


class RunOutdated(Exception):
    """Another run of the job has replaced this one, which must change nothing more."""


class JobFailed(Exception):
    """The job cannot be done, and another try would not help.

    Raised by a job's work. Its message becomes the job's `error`, so it holds nothing personal.
    """


class Job(Struct, frozen=True, kw_only=True):
    """The state of a job; arguments, result and error never hold personal data.

    `attempts` counts the runs that began. `result` is set after success, `error` after a failed
    run, also while the job waits for the next run.
    """

    id: UUID
    kind: str
    state: JobState
    arguments: dict[str, Any]
    actor: str
    progress: Progress
    result: dict[str, Any] | None = None
    error: str | None = None
    attempts: int = 0
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class JobRun:
    """One run of a job, for its work; `attempt` is 1 for the first."""

    def __init__(
        self, job_id: UUID, arguments: Mapping[str, Any], actor: str, attempt: int
    ) -> None:
        self.id = job_id
        self.arguments = arguments
        self.actor = actor
        self.attempt = attempt
        self.pace = Pace()
        self.asked: Asked | None = None

    async def report(self, done: int, total: int | None = None) -> None:
        """Report the progress; cheap to call often, because it is stored at most twice a second.

        Raises `JobCancelled` within about a second after a request to cancel the job, and
        `RunOutdated` after another run has begun.
        """
        self.pace.report(done, total)
        # Without this, work that never awaits would block the heartbeat of its worker.
        await asyncio.sleep(0)
        match self.asked:
            case "cancel":
                raise JobCancelled
            case "lost":
                raise RunOutdated
            case None:
                return


class JobKind(Struct, frozen=True, kw_only=True):
    """The work for jobs of one name; `run` returns the result of the job (JSON).

    A run may be interrupted anywhere and start again from the beginning, so `run` is idempotent.
    A run that raises is retried, up to `tries` runs in all, but not after `JobFailed`.
    A run that only has to wait raises `Unavailable`: it ends, and the job is run again later.
    `schedule` is a cron expression in UTC; the kind is then also submitted without arguments.
    """

    name: str
    run: Callable[[JobRun], Awaitable[dict[str, Any]]]
    tries: int = 3
    schedule: str | None = None


class Jobs(Protocol):
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
        """Record a job durably; a worker that knows the kind runs it, with `first` before all others
        of its class that are queued.

        Returns the existing job if one of that kind and `once` is unfinished, or if one has the id
        `job_id`. Raises `Unavailable`, `OutcomeUnknown`, and `ValueError` for arguments that are
        not JSON.
        """
        ...

    async def job(self, job_id: UUID) -> Job | None:
        """The job, None if it is unknown. Raises `Unavailable`."""
        ...

    async def cancel(self, job_id: UUID) -> Job | None:
        """Request to cancel: a queued job ends at once, a running one soon, a finished one stays.

        Returns the job after that, None if it is unknown. Raises `Unavailable` and
        `OutcomeUnknown`.
        """
        ...


class JobQuery(Struct, frozen=True, kw_only=True):
    """The query for a page of jobs; without `states`, in any state. `before` is exclusive.

    With `exports_of`, only the exports that this actor requested.
    """

    states: tuple[JobState, ...] = ()
    exports_of: str | None = None
    limit: int = 50
    before: UUID | None = None


class JobPage(Struct, frozen=True):
    """Jobs, newest first; `next` is the `before` of the next page, None on the last."""

    items: Sequence[Job]
    next: UUID | None


class JobList(Protocol):
    async def jobs(self, query: JobQuery) -> JobPage:
        """Jobs in the order of their ids, newest first. Raises `Unavailable`."""
        ...
