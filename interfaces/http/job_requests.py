"""What requests about jobs may hold."""

from typing import Annotated, Final, Self
from uuid import UUID

import msgspec
from msgspec import Struct
from pydantic import Field

from application.cursors import CursorBox
from application.jobs import JOB_STATES, JobQuery, JobState
from application.keys import SealBroken
from interfaces.http.fields import comma_list, one_of, whole_number
from interfaces.http.refusals import FieldError, InvalidRequest
from interfaces.http.validation import RequestModel

_MOST_JOBS: Final = 200


class JobListParameters(RequestModel):
    state: Annotated[
        tuple[JobState, ...], comma_list(one_of(JOB_STATES), {"type": "string", "enum": JOB_STATES})
    ] = Field(default=(), description="Any state where it is not given.")
    limit: Annotated[int, whole_number(1, _MOST_JOBS)] = 50
    cursor: str | None = Field(default=None, max_length=4096)

    def query(self, box: CursorBox) -> JobQuery:
        """What is asked for. Raises `InvalidRequest` for a cursor that is not this list's."""
        before = None if self.cursor is None else self._opened(box, self.cursor)
        return JobQuery(states=self.state, limit=self.limit, before=before)

    def cursor_to(self, box: CursorBox, before: UUID | None) -> str | None:
        """The cursor of the page after this one."""
        if before is None:
            return None
        return box.seal(msgspec.msgpack.encode(_Cursor.of(self.state, before)))

    def _opened(self, box: CursorBox, cursor: str) -> UUID:
        try:
            opened = _DECODER.decode(box.open(cursor))
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
