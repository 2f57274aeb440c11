"""Jobs: long work that a caller submits and a worker does later, and the ports to them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol, get_args
from uuid import UUID

from msgspec import Struct

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

JOB_STATES: Final[tuple[JobState, ...]] = get_args(JobState)
FINISHED: Final[frozenset[JobState]] = frozenset({"succeeded", "failed", "cancelled"})


class JobCancelled(Exception):
    """A caller asked to cancel the job."""


class JobFailed(Exception):
    """The job cannot be done, and another try would not help.

    Raised by a job's work. Its message becomes the job's `error`, so it holds nothing personal.
    """


class Progress(Struct, frozen=True, kw_only=True):
    """`rate` is in units per second; `rate` and `eta_seconds` are None while unknown."""

    done: int = 0
    total: int | None = None
    rate: float | None = None
    eta_seconds: float | None = None


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


class JobRun(Protocol):
    """One run of a job; `attempt` is 1 for the first."""

    @property
    def id(self) -> UUID: ...

    @property
    def arguments(self) -> Mapping[str, Any]: ...

    @property
    def actor(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    async def report(self, done: int, total: int | None = None) -> None:
        """Report the progress; cheap to call often, because it is stored at most twice a second.

        Raises `JobCancelled` within about a second after a request to cancel the job.
        """
        ...


class JobKind(Struct, frozen=True, kw_only=True):
    """The work for jobs of one name; `run` returns the result of the job (JSON).

    A run may be interrupted anywhere and start again from the beginning, so `run` is idempotent.
    A run that raises is retried, up to `tries` runs in all, but not after `JobFailed`.
    `schedule` is a cron expression in UTC; the kind is then also submitted without arguments.
    A worker runs at most `at_once` jobs of the kind at a time, to leave room for other kinds.
    """

    name: str
    run: Callable[[JobRun], Awaitable[dict[str, Any]]]
    tries: int = 3
    schedule: str | None = None
    at_once: int | None = None


class Jobs(Protocol):
    async def submit(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        *,
        actor: str,
        once: str | None = None,
        job_id: UUID | None = None,
    ) -> Job:
        """Record a job durably; a worker that knows the kind runs it.

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
