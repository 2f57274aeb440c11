"""The port of a worker: which job to run next, what became of it, and what was asked meanwhile."""

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.jobs.model import Progress

# The bell that rings when a job may have become ready.
JOBS: Final = "jobs"


class Taken(Struct, frozen=True, kw_only=True):
    """A job that is this worker's to run: `attempt` tells this run from all others of the job.

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


class Again(Struct, frozen=True, kw_only=True):
    """Back to the queue, for a run in so many seconds; `failed` where the run counts as a try."""

    seconds: float = 0.0
    error: str | None = None
    failed: bool = False


Outcome = Succeeded | Failed | Cancelled | Again

# `lost`: the job has another run, or none any more, and this one is nobody's.
Asked = Literal["cancel", "lost"]


class RunNow(Struct, frozen=True):
    """A run as it stands."""

    attempt: int
    progress: Progress


class JobLedger(Protocol):
    """One worker's side of the jobs. What it says of a run that is not the job's own any more
    changes nothing. Each raises `Unavailable`, after which it may have been done.
    """

    async def take(self, kinds: Collection[str]) -> Taken | None:
        """The oldest job of these kinds that is ready, which is `running` from now on."""
        ...

    async def end(self, taken: Taken, progress: Progress, outcome: Outcome) -> None:
        """Record what became of a run; where a cancel was asked, `Again` cancels the job."""
        ...

    async def pulse(self, runs: Mapping[UUID, RunNow]) -> Mapping[UUID, Asked]:
        """Say that this worker lives and runs these jobs, and hear what was asked of them.

        Now and then it puts back what dead workers ran.
        """
        ...
