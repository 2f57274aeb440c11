"""Queries to the views; every answer has the position that it shows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar
from uuid import UUID

from msgspec import Struct

from domain.user.state import Status
from projections.users import UserView

T = TypeVar("T")
SortField = Literal["name", "email", "created_at", "updated_at"]


class Answer(Struct, Generic[T], frozen=True):
    """A value, and the position of its view (read before the value).

    Caches use `generation`, the generation of the view.
    """

    value: T
    position: int
    generation: int = 1


class ListCursor(Struct, frozen=True):
    """The end of a page: the sort key of the last row, and its id as the tie-breaker."""

    key: str
    id: UUID


class UserList(Struct, frozen=True, kw_only=True):
    """The query for a page of users; filters are joined by AND, values within one by OR.

    Without `statuses`, active and suspended users. `words` are the words of `q`, not yet folded;
    `emails` are addresses in the form used for comparison.
    """

    words: str | None = None
    emails: tuple[str, ...] = ()
    external_ids: tuple[str, ...] = ()
    ids: tuple[UUID, ...] = ()
    roles: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    sort: SortField = "created_at"
    descending: bool = False
    limit: int = 50
    after: ListCursor | None = None


class UserPage(Struct, frozen=True):
    items: Sequence[UserView]
    next: ListCursor | None


class DayCount(Struct, frozen=True):
    day: str
    count: int


class Stats(Struct, frozen=True, kw_only=True):
    active: int
    suspended: int
    deleted: int
    erased: int
    total: int
    by_role: dict[str, int]
    registered: Sequence[DayCount]
    trend: Literal["up", "none", "down"]


class ProjectionStatus(Struct, frozen=True, kw_only=True):
    """`former` is the generation that a rollback switches to; None if none is kept."""

    name: str
    generation: int
    former: int | None = None
    position: int
    head: int
    lag: int
    lag_seconds: float
    parked: int
    state: str


class DirectoryQueries(Protocol):
    """`at_least` is the position that the view must have reached (0: any). A query waits for it for
    2 s, then raises `ViewBehind`; above the head of the log it raises `PositionAhead` at once.
    Raises `Unavailable` if Postgres is away."""

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserView | None]: ...

    async def users(self, query: UserList, *, at_least: int = 0) -> Answer[UserPage]: ...

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[Stats]: ...

    async def projections(self) -> Answer[Sequence[ProjectionStatus]]: ...
