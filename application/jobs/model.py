"""Jobs: long work that is asked for now and done by a worker later, and the ports to them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol, get_args
from uuid import UUID

from msgspec import Struct

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

JOB_STATES: Final[tuple[JobState, ...]] = get_args(JobState)
FINISHED: Final[frozenset[JobState]] = frozenset({"succeeded", "failed", "cancelled"})


class JobCancelled(Exception):
    """Somebody asked to cancel the job."""


class JobFailed(Exception):
    """The job cannot be done, and another try would not help.

    Raised by a job's work. Its message becomes the job's `error`, so it holds nothing personal.
    """


class Progress(Struct, frozen=True, kw_only=True):
    """`rate` is in units a second; both estimates are absent where nothing can be said yet."""

    done: int = 0
    total: int | None = None
    rate: float | None = None
    eta_seconds: float | None = None


class Job(Struct, frozen=True, kw_only=True):
    """A job as it stands; arguments, result and error never hold personal data.

    `attempts` counts the runs that began. `result` is there once it succeeded, `error` once a run
    failed, also while it waits for the next one.
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
    """One run of a job, as its work sees it; `attempt` is 1 for the first."""

    @property
    def id(self) -> UUID: ...

    @property
    def arguments(self) -> Mapping[str, Any]: ...

    @property
    def actor(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    async def report(self, done: int, total: int | None = None) -> None:
        """Say how far the run is; cheap to call often, for it is stored at most twice a second.

        Raises `JobCancelled` within about a second after somebody asked to cancel the job.
        """
        ...


class JobKind(Struct, frozen=True, kw_only=True):
    """What a worker does for jobs of one name; what `run` returns is the job's result (JSON).

    A run may be cut short anywhere and start again from the beginning, so `run` is idempotent.
    One that raises is tried again, `tries` runs in all, but not after `JobFailed`.
    `schedule` is a cron expression in UTC, by which the kind is also submitted, without arguments.
    A worker does no more than `at_once` of a kind at a time, so that others have their turn.
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
        """Record a job durably; a worker that knows the kind takes it up.

        While a job of that kind and `once` is unfinished, that one is the answer, and the job with
        `job_id` where there is one. Raises `Unavailable`, `OutcomeUnknown`, and `ValueError` for
        arguments that are no JSON.
        """
        ...

    async def job(self, job_id: UUID) -> Job | None:
        """The job as it stands. Raises `Unavailable`."""
        ...

    async def cancel(self, job_id: UUID) -> Job | None:
        """Ask to cancel: a queued job ends at once, a running one soon, a finished one stays.

        Answers the job as it then stands. Raises `Unavailable` and `OutcomeUnknown`.
        """
        ...


class JobQuery(Struct, frozen=True, kw_only=True):
    """A page of jobs asked for; without `states`, in any state. `before` is where one ended.

    With `exports_of` only the exports that this actor asked for.
    """

    states: tuple[JobState, ...] = ()
    exports_of: str | None = None
    limit: int = 50
    before: UUID | None = None


class JobPage(Struct, frozen=True):
    """Jobs, newest first; `next` is the `before` of the next page, if there may be one."""

    items: Sequence[Job]
    next: UUID | None


class JobList(Protocol):
    async def jobs(self, query: JobQuery) -> JobPage:
        """Jobs in the order of their ids, newest first. Raises `Unavailable`."""
        ...
