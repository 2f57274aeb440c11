"""The port of runs: store progress, get requests to cancel, record the outcome."""

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from application.jobs.model import Asked, JobState
from application.jobs.pace import Progress


class Taken(Struct, frozen=True):
    """A job that began to run; `attempt` and the queue's `entry` identify this run of the job.

    `failures` counts its earlier runs that failed.
    """

    id: UUID
    kind: str
    arguments: Mapping[str, Any]
    actor: str
    attempt: int
    entry: int
    failures: int


class Outcome(Struct, frozen=True, kw_only=True):
    """The state of the job after a run, its result or error, and whether the run counts as a try.

    A job that is `queued` runs again after `seconds`.
    """

    state: JobState
    result: dict[str, Any] | None = None
    error: str | None = None
    failed: bool = False
    seconds: float = 0.0


class JobLedger(Protocol):
    """The jobs, for their runs. A write of an outdated run changes nothing. Each method raises
    `Unavailable`, after which the write may be done or not; a repeat changes nothing more.
    """

    async def report(self, taken: Taken, progress: Progress) -> Asked | None:
        """Store the progress of a run. Returns what was asked of it."""
        ...

    async def end(self, taken: Taken, progress: Progress, outcome: Outcome) -> None:
        """Record the outcome of a run; if a cancel was requested, no job is queued again.

        Raises `ValueError` for a result that cannot be stored.
        """
        ...
