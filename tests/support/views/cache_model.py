"""A log and its view as plain lists: the model for checks of the cache."""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.cache.ports import ChangedStreams, EntriesAt, FollowingCache, Mark, Step
from application.errors import ViewBehind
from application.projector.view_store import Entry, ProjectionProgress, Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import RenderPage, UserDocument
from projections.headcount import HEADCOUNT
from projections.users import USERS, UserRow
from tests.support.views.histories import START

Change = Literal["rename", "delete", "restore", "erase", "remove"]

SLOT: Final = Slot(USERS)
USER_IDS: Final = [UUID(int=(0x7 << 76) | (0x8 << 60) | n) for n in range(2, 5)]


class Moment(Struct, frozen=True):
    """A user from one position on; `row` is None if the view shows no row."""

    position: int
    version: int
    row: UserRow | None


class World:
    """The position of the view may also move back."""

    def __init__(self) -> None:
        self.head = 0
        self.view = 0
        # The highest position of the view: a cache may still have what the view showed there.
        self.seen = 0
        self.log: list[tuple[int, str, UUID]] = []
        # How often the view was repaired; before that, it showed this instead of some users.
        self.repairs = 0
        self.wrong: dict[UUID, Moment] = {}
        self.moments: dict[UUID, list[Moment]] = {user_id: [] for user_id in USER_IDS}

    def record(self, user_id: UUID, change: Change, gap: int) -> None:
        """Record a change after `gap` unused positions; does nothing for a user that is gone."""
        before = self.moments[user_id]
        row = before[-1].row if before else None
        if before and (row is None or row.status == "erased"):
            return
        self.head += 1 + gap
        self.log.append((self.head, "user", user_id))
        version = len(before) + 1
        before.append(Moment(self.head, version, _changed(row, user_id, version, change)))

    def record_other(self) -> None:
        """Record an event of another kind, which changes no user."""
        self.head += 1
        self.log.append((self.head, "token", USER_IDS[0]))

    def project(self, position: int) -> None:
        self.view = position
        self.seen = max(self.seen, position)

    def go_wrong(self, user_id: UUID) -> None:
        """From now on the view shows a wrong user, with a version that is too high."""
        row = _changed(None, user_id, 99, "rename")
        self.wrong[user_id] = Moment(0, 99, row)

    def repair(self) -> None:
        """Make the view right; its position does not move."""
        self.repairs += 1
        self.wrong.clear()

    def shown(self, user_id: UUID, position: int) -> Moment | None:
        """What the view shows of a user at a position, right or wrong."""
        return self.wrong.get(user_id) or self.moment(user_id, position)

    def moment(self, user_id: UUID, position: int) -> Moment | None:
        """The user as the view shows it at a position."""
        until = [moment for moment in self.moments[user_id] if moment.position <= position]
        return until[-1] if until else None

    def allows(self, user_id: UUID, answer: Answer[UserDocument | None]) -> bool:
        """Whether the view showed this at the answer's position or later."""
        first = self.moment(user_id, answer.position)
        later = [m for m in self.moments[user_id] if answer.position < m.position <= self.seen]
        shown = [_document(moment) for moment in (first, *later)]
        return answer.value in shown

    # Ports of the followers and the readers

    async def changed(self, after: int, limit: int) -> ChangedStreams:
        """See `ChangeFeed`; two events at a time, so that a few changes take several steps."""
        page = [entry for entry in self.log if entry[0] > after][:2]
        streams = {(kind, stream) for _, kind, stream in page}
        return ChangedStreams(streams, page[-1][0] if page else after)

    async def entries(self, slot: Slot[Any], streams: Collection[UUID]) -> EntriesAt[Any]:
        """See `ViewEntries`."""
        if slot.projection.name == HEADCOUNT.name:
            return EntriesAt(self.view, self.repairs, {})
        found = {stream: self.shown(stream, self.view) for stream in streams}
        entries = {s: Entry(m.row, m.version, b"") for s, m in found.items() if m is not None}
        return EntriesAt(self.view, self.repairs, entries)

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]:
        """See `Documents`."""
        if self.view < at_least:
            raise ViewBehind(self.view)
        return Answer(_document(self.shown(user_id, self.view)), self.view)

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]:
        """See `Documents`; does not call `render`."""
        if self.view < at_least:
            raise ViewBehind(self.view)
        return Answer(self.page(self.view), self.view)

    def page(self, position: int) -> bytes:
        """All users, as the view shows them at a position."""
        documents = [_document(self.shown(each, position)) for each in USER_IDS]
        return b",".join(each.body if each else b"-" for each in documents)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        """See `Documents`."""
        return Answer(b"%d" % self.view, self.view)

    async def progress(self, projection: str) -> ProjectionProgress:
        """See `ProgressSource`."""
        assert projection in (USERS.name, HEADCOUNT.name)
        return ProjectionProgress(1, self.view)


class LateFollowing:
    """Delays a follower's writes; its reads are immediate."""

    def __init__(self, cache: FollowingCache, late: list[Callable[[], Awaitable[None]]]) -> None:
        self._cache = cache
        self._late = late

    async def mark(self, slot: Slot[Any]) -> Mark | None:
        return await self._cache.mark(slot)

    async def begin(self, slot: Slot[Any], seen: Mark | None, position: int, repairs: int) -> None:
        self._late.append(partial(self._cache.begin, slot, seen, position, repairs))

    async def advance(self, slot: Slot[Any], seen: Mark, step: Step) -> None:
        self._late.append(partial(self._cache.advance, slot, seen, step))


def _document(moment: Moment | None) -> UserDocument | None:
    return UserDocument.of(moment.row) if moment is not None and moment.row is not None else None


def _changed(row: UserRow | None, user_id: UUID, version: int, change: Change) -> UserRow | None:
    at = START + timedelta(seconds=version)
    if row is None:
        return UserRow(
            id=user_id,
            external_id=None,
            name=f"N{version}",
            email="n@example.org",
            role="member",
            status="active",
            attributes={},
            version=version,
            created_at=at,
            updated_at=at,
        )
    row = replace(row, version=version, updated_at=at)
    match change:
        case "rename":
            return replace(row, name=f"N{version}")
        case "delete":
            return replace(row, status="deleted")
        case "restore":
            return replace(row, status="active")
        case "erase":
            return replace(
                row, status="erased", name=None, email=None, external_id=None, attributes=None
            )
        case "remove":
            return None
