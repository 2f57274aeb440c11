"""Exports of all users or audit items that match: the request, and the ports."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

from application.access.records import AccessRecords
from application.audit.search import AuditQuery
from application.context import Context
from application.cursors import TokenSealer
from application.jobs.model import Job, Jobs
from application.queries.directory import UserList
from domain.access.events import AccessExported

EXPORT: Final = "export"

What = Literal["users", "audit"]
Format = Literal["csv", "ndjson"]

# Rows that are read, stored and sent at a time.
PIECE_ROWS: Final = 500


class ExportSpec(Struct, frozen=True, kw_only=True):
    """What to export: users or audit items; exactly one of both is given."""

    format: Format
    users: UserList | None = None
    audit: AuditQuery | None = None

    @property
    def what(self) -> What:
        return "audit" if self.users is None else "users"

    @property
    def may_name_a_person(self) -> bool:
        """Whether a value of a filter may be personal; ids, roles, states and times are not."""
        users, audit = self.users, self.audit
        return bool(
            (users and (users.words or users.emails or users.external_ids))
            or (audit and (audit.actors or audit.on_behalf_of or audit.correlation_ids))
        )


class Piece(Struct, frozen=True):
    """References to rows of an export: users with their versions, or positions of events."""

    numbers: Sequence[int]
    users: Sequence[UUID] = ()


class RequestedExport(Struct, frozen=True, kw_only=True):
    """A requested export: `request` is the sealed `ExportSpec`, `position` the head of the log.

    `names`: the request may name a person.
    """

    id: UUID
    actor: str
    request: str
    names: bool
    position: int


class PendingExport(Struct, frozen=True):
    """An export without selected rows; they must show at least `position`."""

    request: str
    position: int


class SelectedExport(Struct, frozen=True):
    """An export with selected rows: their number, and the position they show."""

    rows: int
    position: int


class Exports(Protocol):
    """The exports, for all but their worker. Each method raises `Unavailable`."""

    async def record(self, requested: RequestedExport) -> None:
        """Record an export; one with its id stays as it is."""
        ...

    async def piece(self, export: UUID, number: int) -> Piece | None:
        """A piece of an export, counted from 0; None if there is none."""
        ...

    async def oldest_naming(self) -> int | None:
        """The lowest position of the stored requests that may name a person, if there are any."""
        ...


class ExportRuns(Protocol):
    """The exports, for a worker; only the latest run of an export may write.

    Each method raises `Unavailable`, after which the write may be done or not; it is idempotent.
    """

    async def begin(self, export: UUID, attempt: int) -> PendingExport | SelectedExport | None:
        """The export; pending ones then have no pieces. None if the run is outdated, or the export
        is dropped."""
        ...

    async def add(self, export: UUID, attempt: int, number: int, piece: Piece) -> bool:
        """Store the next piece; False where `begin` returns None."""
        ...

    async def end(self, export: UUID, attempt: int, selected: SelectedExport) -> bool:
        """Record the end and delete the request; False where `begin` returns None."""
        ...


class ExportService:
    """Submits exports. The request is sealed: its filters may name a person."""

    def __init__(
        self, requests: Exports, access: AccessRecords, jobs: Jobs, sealer: TokenSealer
    ) -> None:
        self._requests = requests
        self._access = access
        self._jobs = jobs
        self._sealer = sealer

    async def submit(
        self,
        spec: ExportSpec,
        filters: Mapping[str, Any],
        *,
        context: Context,
        position: int,
        export_id: UUID,
    ) -> Job:
        """Submit an export, or find the one with this id.

        `filters` are shown with the job and in the log, so nothing in them is personal. The request
        is stored first, so a repeat finds it after any interruption; then the log says which actor
        exports what, before a worker can see the job. Raises `Overloaded`, `Unavailable` and
        `OutcomeUnknown`.
        """
        requested = RequestedExport(
            id=export_id,
            actor=context.actor,
            request=seal_spec(self._sealer, spec),
            names=spec.may_name_a_person,
            position=position,
        )
        await self._requests.record(requested)
        exported = AccessExported(
            export=export_id, what=spec.what, format=spec.format, filters=dict(filters)
        )
        await self._access.record(f"export\x00{export_id}", exported, context)
        arguments = {"what": spec.what, "format": spec.format, "filters": dict(filters)}
        # Erasures wait for requests that may name a person, and for no other.
        return await self._jobs.submit(
            EXPORT, arguments, actor=context.actor, job_id=export_id, first=requested.names
        )


def seal_spec(sealer: TokenSealer, spec: ExportSpec) -> str:
    return sealer.seal(msgspec.json.encode(spec))


def open_spec(sealer: TokenSealer, request: str) -> ExportSpec:
    """The spec that `seal_spec` sealed. Raises `SealBroken`."""
    return msgspec.json.decode(sealer.open(request), type=ExportSpec)
