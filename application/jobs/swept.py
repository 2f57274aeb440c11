"""Jobs without runs: one loop looks at all of a kind at once, and ends those that are done.

For work that only waits until something has happened, and can be judged for many jobs together. Such
a job is a row; it has no entry in a queue and takes no place, however many there are.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from application.jobs.pace import Progress


class Waiting(Struct, frozen=True, kw_only=True):
    """What the jobs wait for: how much of it is done, and what is left, in words."""

    done: int
    total: int
    error: str

    @property
    def progress(self) -> Progress:
        return Progress(done=self.done, total=self.total)


class SweptJob(Struct, frozen=True):
    """An unfinished job; `waiting` was noted last, None if nothing was."""

    id: UUID
    arguments: Mapping[str, Any]
    waiting: Waiting | None


class SweptJobs(Protocol):
    """The unfinished jobs of swept kinds. Each method raises `Unavailable`; any may be repeated, and
    none changes a job that is finished or cancelled by then.
    """

    async def unfinished(self, kind: str, after: UUID, limit: int) -> Sequence[SweptJob]:
        """Those with an id after this one, in order."""
        ...

    async def note(self, jobs: Collection[UUID], waiting: Waiting) -> None:
        """Note what these jobs wait for."""
        ...

    async def succeed(self, results: Mapping[UUID, Mapping[str, Any]], done: int) -> None:
        """End these jobs, each with its result; `done` is the progress of all."""
        ...
