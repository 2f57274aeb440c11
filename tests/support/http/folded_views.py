"""The views of a directory in memory, folded from its log at each query."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from application.erasure.erased_views import ViewGeneration
from application.errors import PositionAhead, ViewBehind
from application.exports.job import NotThereYet, Selection
from application.exports.requests import PIECE_ROWS, Piece
from application.queries.directory import (
    Answer,
    ListCursor,
    ProjectionStatus,
    Stats,
    UserList,
    UserPage,
)
from domain.email import comparable_address
from projections.folding import indexed_words, search_words
from projections.registry import PROJECTIONS
from projections.users import UserRow, UserView, evolve
from tests.support.doubles.event_log import InMemoryEventLog


class FoldedQueries:
    """The views, folded from the log at each query; they are `lag` positions behind it."""

    def __init__(self, log: InMemoryEventLog) -> None:
        self._log = log
        self.lag = 0

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserView | None]:
        rows, position = await self.rows(at_least)
        return Answer(rows.get(user_id), position)

    async def users(self, query: UserList, *, at_least: int = 0) -> Answer[UserPage]:
        rows, position = await self.rows(at_least)
        found = sorted(
            (row for row in rows.values() if _matches(row, query)),
            key=lambda row: _sort_place(row, query),
            reverse=query.descending,
        )
        if query.after is not None:
            end = (query.after.key, query.after.id)
            found = [row for row in found if (_sort_place(row, query) > end) != query.descending]
            found = [row for row in found if _sort_place(row, query) != end]
        page = found[: query.limit]
        last = _sort_place(page[-1], query) if len(found) > len(page) else None
        return Answer(UserPage(page, ListCursor(*last) if last else None), position)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[Stats]:
        rows, position = await self.rows(at_least)
        counts = {
            status: sum(row.status == status for row in rows.values())
            for status in ("active", "suspended", "deleted", "erased")
        }
        stats = Stats(
            **counts, total=len(rows), by_role={"member": len(rows)}, registered=[], trend="none"
        )
        return Answer(stats, position)

    async def projections(self) -> Answer[Sequence[ProjectionStatus]]:
        head = await self._log.head()
        status = ProjectionStatus(
            name="users",
            generation=1,
            position=head,
            head=head,
            lag=0,
            lag_seconds=0.0,
            parked=0,
            state="live",
        )
        return Answer([status], head)

    async def rows(self, at_least: int = 0) -> tuple[dict[UUID, UserRow], int]:
        """All users, and the position that they are folded to."""
        head = await self._log.head()
        position = max(head - self.lag, 0)
        if at_least > head:
            raise PositionAhead(head)
        if at_least > position:
            raise ViewBehind(position)
        rows: dict[UUID, UserRow] = {}
        for recorded in (await self._log.read(0, position)).events if position else ():
            if recorded.kind != "user":
                continue
            rows[recorded.stream] = evolve(rows.get(recorded.stream), recorded)
        return rows, position


class FoldedSelection:
    """See `UserSelection`: selects all users that the queries list at one position."""

    def __init__(self, views: FoldedQueries) -> None:
        self._views = views

    @asynccontextmanager
    async def select(self, query: UserList, position: int) -> AsyncGenerator[Selection]:
        try:
            answer = await self._views.users(replace(query, limit=10**9), at_least=position)
        except ViewBehind as error:
            raise NotThereYet from error
        items = answer.value.items
        yield Selection(answer.position, len(items), _in_pieces(items))


async def _in_pieces(users: Sequence[UserView]) -> AsyncGenerator[Piece]:
    for begin in range(0, len(users), PIECE_ROWS):
        piece = users[begin : begin + PIECE_ROWS]
        yield Piece([user.version for user in piece], [user.id for user in piece])


class FoldedErasedViews:
    """See `ErasedViews`: one generation of each projection, at the position of the queries."""

    def __init__(self, log: InMemoryEventLog, views: FoldedQueries) -> None:
        self._log = log
        self._views = views

    async def generations(self) -> Sequence[ViewGeneration]:
        position = await self._log.head() - self._views.lag
        return [ViewGeneration(each.name, 1, True, position) for each in PROJECTIONS]

    async def dropped_since(self, seconds: int) -> Sequence[int]:
        return []

    async def finish_erasure(self, view: ViewGeneration, position: int, seconds: float) -> None:
        """Returns at once: the views hold nothing that is erased."""


def _matches(row: UserRow, query: UserList) -> bool:
    words = indexed_words([row.name, row.email])
    asked_words = None if query.words is None else search_words([query.words])
    return all(
        (
            row.status in (query.statuses or ("active", "suspended")),
            not query.ids or row.id in query.ids,
            not query.roles or row.role in query.roles,
            not query.external_ids or row.external_id in query.external_ids,
            not query.emails or comparable_address(row.email or "@") in query.emails,
            asked_words is None
            or (
                bool(asked_words)
                and all(any(word.startswith(asked) for word in words) for asked in asked_words)
            ),
        )
    )


def _sort_place(row: UserRow, query: UserList) -> tuple[str, UUID]:
    return str(getattr(row, query.sort)), row.id
