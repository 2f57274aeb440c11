"""What requests about jobs may hold."""

from collections.abc import Sequence
from typing import Annotated, Any, Self
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict
from pydantic import Field

from application.jobs import model as jobs
from application.jobs.model import JOB_STATES, JobState
from application.timestamps import Timestamp, timestamp
from interfaces.http.protocol.cursors import PageParameters
from interfaces.http.protocol.fields import comma_list, one_of


class JobProgress(Struct, frozen=True, kw_only=True):
    """`rate` is in units a second; null if it is not known, or not yet."""

    done: int
    total: int | None
    rate: float | None
    eta_seconds: float | None


class Job(Struct, frozen=True, kw_only=True):
    """`attempts` counts the runs that began, and `started_at` is when the last one did.

    `error` says why the last run failed, also while the job waits for its next one.
    """

    id: UUID
    kind: str
    state: JobState
    arguments: dict[str, Any]
    actor: str
    progress: JobProgress
    result: dict[str, Any] | None
    error: str | None
    attempts: int
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None

    @classmethod
    def of(cls, job: jobs.Job) -> Self:
        fields: dict[str, Any] = {
            **asdict(job),
            "progress": JobProgress(**asdict(job.progress)),
            "created_at": timestamp(job.created_at),
            "started_at": job.started_at and timestamp(job.started_at),
            "finished_at": job.finished_at and timestamp(job.finished_at),
        }
        return cls(**fields)


class JobList(Struct, frozen=True, kw_only=True):
    items: Sequence[Job]
    next_cursor: str | None
    position: int


class JobResult(Struct, frozen=True):
    """The result of a job: an object; its members depend on the job's kind."""


class JobListParameters(PageParameters):
    state: Annotated[
        tuple[JobState, ...], comma_list(one_of(JOB_STATES), {"type": "string", "enum": JOB_STATES})
    ] = Field(default=(), description="Any state where it is not given.")
