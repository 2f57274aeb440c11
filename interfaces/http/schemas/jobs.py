"""What requests about jobs may hold."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Self
from uuid import UUID

import msgspec
from msgspec import Struct
from pydantic import Field

from application.cursors import TokenSealer
from application.jobs import model as jobs
from application.jobs.model import JOB_STATES, JobQuery, JobState
from application.keys.ports import SealBroken
from application.timestamps import Timestamp, timestamp
from interfaces.http.protocol.fields import comma_list, one_of, whole_number
from interfaces.http.protocol.refusals import FieldError, InvalidRequest
from interfaces.http.protocol.validation import RequestModel


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
        progress = job.progress
        return cls(
            id=job.id,
            kind=job.kind,
            state=job.state,
            arguments=job.arguments,
            actor=job.actor,
            progress=JobProgress(
                done=progress.done,
                total=progress.total,
                rate=progress.rate,
                eta_seconds=progress.eta_seconds,
            ),
            result=job.result,
            error=job.error,
            attempts=job.attempts,
            created_at=timestamp(job.created_at),
            started_at=job.started_at and timestamp(job.started_at),
            finished_at=job.finished_at and timestamp(job.finished_at),
        )


class JobList(Struct, frozen=True, kw_only=True):
    items: Sequence[Job]
    next_cursor: str | None
    position: int


class JobResult(Struct, frozen=True):
    """The result of a job: an object; its members depend on the job's kind."""


_MAX_JOBS: Final = 200


class JobListParameters(RequestModel):
    state: Annotated[
        tuple[JobState, ...], comma_list(one_of(JOB_STATES), {"type": "string", "enum": JOB_STATES})
    ] = Field(default=(), description="Any state where it is not given.")
    limit: Annotated[int, whole_number(1, _MAX_JOBS)] = 50
    cursor: str | None = Field(default=None, max_length=4096)

    def query(self, sealer: TokenSealer) -> JobQuery:
        """What is asked for. Raises `InvalidRequest` for a cursor that is not this list's."""
        before = None if self.cursor is None else self._opened(sealer, self.cursor)
        return JobQuery(states=self.state, limit=self.limit, before=before)

    def cursor_to(self, sealer: TokenSealer, before: UUID | None) -> str | None:
        """The cursor of the page after this one."""
        if before is None:
            return None
        return sealer.seal(msgspec.msgpack.encode(_Cursor.of(self.state, before)))

    def _opened(self, sealer: TokenSealer, cursor: str) -> UUID:
        try:
            opened = _DECODER.decode(sealer.open(cursor))
        except (SealBroken, msgspec.DecodeError):
            raise _refused("Is not a cursor of this list.") from None
        if opened != _Cursor.of(self.state, opened.before):
            raise _refused("Belongs to a list with other filters.")
        return opened.before


class _Cursor(Struct, frozen=True, array_like=True):
    """What was listed, and the id of the page's last job."""

    what: str
    states: tuple[str, ...]
    before: UUID

    @classmethod
    def of(cls, states: tuple[JobState, ...], before: UUID) -> Self:
        return cls("jobs", tuple(sorted(set(states))), before)


_DECODER: Final = msgspec.msgpack.Decoder(_Cursor)


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest([FieldError("cursor", detail)])
