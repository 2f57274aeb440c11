"""The job of an export: selects the rows as of one moment, and keeps which ones they are."""

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
    ExportOrder,
    ExportRuns,
    PendingExport,
    Piece,
    SelectedExport,
    open_order,
)
from application.jobs.model import JobCancelled, JobKind, JobRun
from application.log.event_log import EventFeed
from application.queries.directory import UserList


class Selection(Struct, frozen=True):
    """All rows of one moment, in order, in pieces of `PIECE_ROWS` at the most.

    `position` is what they show; `total` is their number, where it is known beforehand.
    """

    position: int
    total: int | None
    pieces: AsyncIterator[Piece]


class UserSelection(Protocol):
    def select(self, query: UserList, position: int) -> AbstractAsyncContextManager[Selection]:
        """All users that match, once the view has reached a position; the page's bounds are ignored.

        Raises `NotThereYet` and `Unavailable`, also midway.
        """
        ...


class NotThereYet(Unavailable):
    """The view of the users has not reached the position where the log stood when it was asked."""

    def __str__(self) -> str:
        return str(NotThereYet.__doc__)


class Selecting(Struct, frozen=True):
    """Where an export gets its rows from."""

    users: UserSelection
    audit: Audit
    feed: EventFeed

    @asynccontextmanager
    async def select(self, order: ExportOrder, position: int) -> AsyncGenerator[Selection]:
        """The rows of an order; see `UserSelection`."""
        if order.users is not None:
            async with self.users.select(order.users, position) as selection:
                yield selection
            return
        assert order.audit is not None, "an order is for users or for audit items"
        head = await self.feed.head()
        async with aclosing(_audit_pieces(self.audit, order.audit, head)) as pieces:
            yield Selection(head, None, pieces)


def export_jobs(runs: ExportRuns, box: TokenSealer, selecting: Selecting) -> JobKind:
    """The jobs of exports; what they come to is what the files then show.

    One at a time in each worker: a long one leaves room for all other jobs.
    """

    async def run(job: JobRun) -> dict[str, Any]:
        begun = await runs.begin(job.id, job.attempt)
        if begun is None:
            raise JobCancelled
        selected = begun
        if isinstance(begun, PendingExport):
            order = open_order(box, begun.request)
            async with selecting.select(order, begun.position) as selection:
                selected = await _keep(runs, job, selection)
        assert isinstance(selected, SelectedExport)
        arguments = job.arguments
        return {
            "what": arguments["what"],
            "format": arguments["format"],
            "rows": selected.rows,
            "position": selected.position,
        }

    return JobKind(name=EXPORT, run=run, at_once=1)


async def _keep(runs: ExportRuns, job: JobRun, selection: Selection) -> SelectedExport:
    """Raises `JobCancelled` where another run has taken over, or nobody wants the export."""
    rows = number = 0
    await job.report(0, selection.total)
    async for piece in selection.pieces:
        # A step may find nothing, and be worth a report all the same: a cancel is heard there.
        if piece.numbers:
            if not await runs.add(job.id, job.attempt, number, piece):
                raise JobCancelled
            number += 1
            rows += len(piece.numbers)
        await job.report(rows, selection.total)
    # Even where nothing matches: a piece tells that the export is still kept.
    if not rows and not await runs.add(job.id, job.attempt, 0, Piece(())):
        raise JobCancelled
    selected = SelectedExport(rows, selection.position)
    if not await runs.end(job.id, job.attempt, selected):
        raise JobCancelled
    return selected


async def _audit_pieces(audit: Audit, query: AuditQuery, head: int) -> AsyncGenerator[Piece]:
    """Pieces of full size, and an empty one after each step that found too little for one."""
    waiting: list[int] = []
    async with aclosing(audit.matching(query, head, PIECE_ROWS)) as steps:
        async for positions in steps:
            waiting += positions
            if len(waiting) < PIECE_ROWS:
                yield Piece(())
            else:
                yield Piece(tuple(waiting[:PIECE_ROWS]))
                del waiting[:PIECE_ROWS]
    if waiting:
        yield Piece(tuple(waiting))
