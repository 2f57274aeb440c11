"""The job of an export: selects the rows at one moment, and stores references to them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Protocol

from msgspec import Struct

from application.audit.search import Audit, AuditQuery
from application.cursors import TokenSealer
from application.errors import Unavailable
from application.exports.requests import (
    EXPORT,
    PIECE_ROWS,
    ExportRuns,
    ExportSpec,
    PendingExport,
    Piece,
    SelectedExport,
    open_spec,
)
from application.jobs.model import JobCancelled, JobKind, JobRun
from application.log.event_log import EventFeed
from application.queries.directory import UserList


class Selection(Struct, frozen=True):
    """All rows at one moment, in order, in pieces of at most `PIECE_ROWS`.

    `position` is the position they show; `total` is their number, if it is known in advance.
    """

    position: int
    total: int | None
    pieces: AsyncIterator[Piece]


class UserSelection(Protocol):
    def select(self, query: UserList, position: int) -> AbstractAsyncContextManager[Selection]:
        """All users that match, once the view has reached a position; ignores limit and cursor.

        Raises `NotThereYet` and `Unavailable`, also midway.
        """
        ...


class NotThereYet(Unavailable):
    """The view of the users has not reached the position at which the export was requested."""


class ExportSources(Struct, frozen=True):
    """The sources of the rows of an export."""

    users: UserSelection
    audit: Audit
    feed: EventFeed

    @asynccontextmanager
    async def select(self, spec: ExportSpec, position: int) -> AsyncGenerator[Selection]:
        """The rows of an export; see `UserSelection`."""
        if spec.users is not None:
            async with self.users.select(spec.users, position) as selection:
                yield selection
            return
        assert spec.audit is not None, "an export is of users or of audit items"
        head = await self.feed.head()
        async with aclosing(_audit_pieces(self.audit, spec.audit, head)) as pieces:
            yield Selection(head, None, pieces)


def export_jobs(runs: ExportRuns, sealer: TokenSealer, sources: ExportSources) -> JobKind:
    """The job kind of exports; the files show exactly the selected rows."""

    async def run(job: JobRun) -> dict[str, Any]:
        begun = await runs.begin(job.id, job.attempt)
        if begun is None:
            raise JobCancelled
        selected = begun
        if isinstance(begun, PendingExport):
            spec = open_spec(sealer, begun.request)
            async with sources.select(spec, begun.position) as selection:
                selected = await _store(runs, job, selection)
        assert isinstance(selected, SelectedExport)
        arguments = job.arguments
        return {
            "what": arguments["what"],
            "format": arguments["format"],
            "rows": selected.rows,
            "position": selected.position,
        }

    return JobKind(name=EXPORT, run=run)


async def _store(runs: ExportRuns, job: JobRun, selection: Selection) -> SelectedExport:
    """Store all pieces. Raises `JobCancelled` if this run is outdated, or the export is dropped."""
    rows = number = 0
    await job.report(0, selection.total)
    async for piece in selection.pieces:
        # Also report after an empty step: the report raises a cancel.
        if piece.numbers:
            if not await runs.add(job.id, job.attempt, number, piece):
                raise JobCancelled
            number += 1
            rows += len(piece.numbers)
        await job.report(rows, selection.total)
    # Also if nothing matches: a piece shows that the export still exists.
    if not rows and not await runs.add(job.id, job.attempt, 0, Piece(())):
        raise JobCancelled
    selected = SelectedExport(rows, selection.position)
    if not await runs.end(job.id, job.attempt, selected):
        raise JobCancelled
    return selected


async def _audit_pieces(audit: Audit, query: AuditQuery, head: int) -> AsyncGenerator[Piece]:
    """Full pieces, and an empty one after each step that did not fill one."""
    pending: list[int] = []
    async with aclosing(audit.matching(query, head, PIECE_ROWS)) as steps:
        async for positions in steps:
            pending += positions
            if len(pending) < PIECE_ROWS:
                yield Piece(())
            else:
                yield Piece(tuple(pending[:PIECE_ROWS]))
                del pending[:PIECE_ROWS]
    if pending:
        yield Piece(tuple(pending))
