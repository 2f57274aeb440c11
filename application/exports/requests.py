"""Exports: all users or audit items that match, as jobs; asking for one, and the ports to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

from application.audit.search import AuditQuery
from application.context import IdempotencyKey
from application.cursors import TokenSealer
from application.jobs.model import Job, Jobs
from application.queries.directory import UserList

EXPORT: Final = "export"

What = Literal["users", "audit"]
Format = Literal["csv", "ndjson"]

# What is read, kept and sent at a time.
PIECE_ROWS: Final = 500


class ExportOrder(Struct, frozen=True, kw_only=True):
    """What to export: the users or the audit items that match; one of both is given."""

    format: Format
    users: UserList | None = None
    audit: AuditQuery | None = None

    @property
    def what(self) -> What:
        return "audit" if self.users is None else "users"


class Piece(Struct, frozen=True):
    """Rows of an export, by reference: users with a version each, or positions of events alone."""

    numbers: Sequence[int]
    users: Sequence[UUID] = ()


class AskedExport(Struct, frozen=True, kw_only=True):
    """An export as it is recorded: `request` is sealed, `position` where the log stood."""

    id: UUID
    actor: str
    key: IdempotencyKey | None
    request: str
    position: int


class PendingExport(Struct, frozen=True):
    """An export whose rows are to be selected; they show at least `position`."""

    request: str
    position: int


class SelectedExport(Struct, frozen=True):
    """An export whose rows are known: how many, and the position they show."""

    rows: int
    position: int


class ExportRequests(Protocol):
    async def record(self, asked: AskedExport) -> UUID:
        """The id of the export, which is another's where the actor used the key before.

        Raises `IdempotencyMismatch`, and `Unavailable`.
        """
        ...


class ExportPieces(Protocol):
    async def piece(self, export: UUID, number: int) -> Piece | None:
        """A piece of an export, counted from 0; None where there is none. Raises `Unavailable`."""
        ...


class ExportRuns(Protocol):
    """A worker's side of exports: of several runs of one only the latest is heard.

    Each raises `Unavailable`, after which it may have been done; doing it again is no harm.
    """

    async def begin(self, export: UUID, attempt: int) -> PendingExport | SelectedExport | None:
        """What to select rows for, without any yet; None where the run is not the latest any more,
        or nobody wants the export."""
        ...

    async def add(self, export: UUID, attempt: int, number: int, piece: Piece) -> bool:
        """Keep the next piece; False as `begin` is None."""
        ...

    async def end(self, export: UUID, attempt: int, selected: SelectedExport) -> bool:
        """Record that all pieces are there, and forget the request; False as `begin` is None."""
        ...


class PendingExports(Protocol):
    async def asked_before(self, position: int) -> bool:
        """Whether requests from before a position of the log are still kept. Raises `Unavailable`."""
        ...


class ExportService:
    """Asks for exports. The request is sealed: its filters may name a person."""

    def __init__(
        self, requests: ExportRequests, jobs: Jobs, box: TokenSealer, new_id: Callable[[], UUID]
    ) -> None:
        self._requests = requests
        self._jobs = jobs
        self._box = box
        self._new_id = new_id

    async def ask(
        self,
        order: ExportOrder,
        filters: Mapping[str, Any],
        *,
        actor: str,
        key: IdempotencyKey | None,
        position: int,
    ) -> tuple[Job, bool]:
        """The job, and whether it is an earlier one of the same key.

        `filters` are shown with the job, so nothing in them is personal. The order is recorded
        first: a repeat finds it, wherever the first one was cut short. Raises
        `IdempotencyMismatch`, `Unavailable` and `OutcomeUnknown`.
        """
        asked = AskedExport(
            id=self._new_id(),
            actor=actor,
            key=key,
            request=seal_order(self._box, order),
            position=position,
        )
        export = await self._requests.record(asked)
        arguments = {"what": order.what, "format": order.format, "filters": dict(filters)}
        job = await self._jobs.submit(EXPORT, arguments, actor=actor, job_id=export)
        return job, export != asked.id


def seal_order(box: TokenSealer, order: ExportOrder) -> str:
    return box.seal(msgspec.json.encode(order))


def open_order(box: TokenSealer, request: str) -> ExportOrder:
    """What `seal_order` sealed. Raises `SealBroken`."""
    return msgspec.json.decode(box.open(request), type=ExportOrder)
