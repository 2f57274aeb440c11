"""The port of a worker: take the next job, record its outcome, and get requests to cancel."""

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.jobs.model import Progress

# The bell that rings when a job may have become ready.
JOBS: Final = "jobs"


class Taken(Struct, frozen=True, kw_only=True):
    """A job taken by this worker; `attempt` identifies this run of the job.

    `failures` counts its earlier runs that failed.
    """

    id: UUID
    kind: str
    arguments: dict[str, Any]
    actor: str
    attempt: int
    failures: int


class Succeeded(Struct, frozen=True):
    result: dict[str, Any]


class Failed(Struct, frozen=True):
    error: str


class Cancelled(Struct, frozen=True):
    pass


class Requeued(Struct, frozen=True, kw_only=True):
    """Back to the queue, for a run after `seconds`; `failed`: this run counts as a try."""

    seconds: float = 0.0
    error: str | None = None
    failed: bool = False


Outcome = Succeeded | Failed | Cancelled | Requeued

# `lost`: this run is outdated; the job has another run, or none.
Asked = Literal["cancel", "lost"]


class RunNow(Struct, frozen=True):
    """The current state of a run."""

    attempt: int
    progress: Progress


class JobLedger(Protocol):
    """The jobs, for one worker. A write for an outdated run changes nothing. Each method raises
    `Unavailable`, after which the write may be done or not.
    """

    async def take(self, kinds: Collection[str]) -> Taken | None:
        """Take the oldest ready job of these kinds; its state is then `running`."""
        ...

    async def end(self, taken: Taken, progress: Progress, outcome: Outcome) -> None:
        """Record the outcome of a run; if a cancel was requested, `Requeued` cancels the job."""
        ...

    async def pulse(self, runs: Mapping[UUID, RunNow]) -> Mapping[UUID, Asked]:
        """Send a heartbeat with the running jobs. Returns what was asked of them.

        From time to time it also requeues the jobs of dead workers.
        """
        ...
