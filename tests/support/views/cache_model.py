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
from application.projector.view_store import Entry, ProjectionProgress, Slot, partition_of
from application.queries.directory import Answer, UserList
from application.queries.documents import RenderPage, UserDocument
from projections.headcount import HEADCOUNT
from projections.users import USERS, UserRow
from tests.support.views.histories import START

Change = Literal["rename", "delete", "restore", "erase", "remove"]

PARTITIONS: Final = 2
SLOTS: Final = [
    Slot(replace(USERS, partitions=PARTITIONS), 1, partition) for partition in range(PARTITIONS)
]
USER_IDS: Final = [UUID(int=(0x7 << 76) | (0x8 << 60) | n) for n in range(2, 5)]


class Moment(Struct, frozen=True):
    """A user from one position on; `row` is None if the view shows no row."""

    position: int
    version: int
    row: UserRow | None


class World:
    """The view of each partition has its own position; it may also move back."""

    def __init__(self) -> None:
        self.head = 0
        self.views = dict.fromkeys(range(PARTITIONS), 0)
        # The highest position of each view: a cache may still have what a view showed there.
        self.seen = dict(self.views)
        self.log: list[tuple[int, str, UUID]] = []
        # How often each view was repaired; before that, it showed this instead of some users.
        self.repairs = dict.fromkeys(range(PARTITIONS), 0)
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

    def project(self, partition: int, position: int) -> None:
        self.views[partition] = position
        self.seen[partition] = max(self.seen[partition], position)

    def go_wrong(self, user_id: UUID) -> None:
        """From now on the view shows a wrong user, with a version that is too high."""
        row = _changed(None, user_id, 99, "rename")
        self.wrong[user_id] = Moment(0, 99, row)

    def repair(self, partition: int) -> None:
        """Make the view of a partition right; its position does not move."""
        self.repairs[partition] += 1
        for user_id in list(self.wrong):
            if partition_of(user_id, PARTITIONS) == partition:
                del self.wrong[user_id]

    def shown(self, user_id: UUID, position: int) -> Moment | None:
        """What the view shows of a user at a position, right or wrong."""
        return self.wrong.get(user_id) or self.moment(user_id, position)

    def moment(self, user_id: UUID, position: int) -> Moment | None:
        """The user as the view shows it at a position."""
        until = [moment for moment in self.moments[user_id] if moment.position <= position]
        return until[-1] if until else None

    def allows(self, user_id: UUID, answer: Answer[UserDocument | None]) -> bool:
        """Whether the view showed this at the answer's position or later."""
        seen = self.seen[partition_of(user_id, PARTITIONS)]
        first = self.moment(user_id, answer.position)
        later = [m for m in self.moments[user_id] if answer.position < m.position <= seen]
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
            return EntriesAt(min(self.views.values()), self.repairs[0], {})
        position = self.views[slot.partition]
        found = {stream: self.shown(stream, position) for stream in streams}
        entries = {s: Entry(m.row, m.version, b"") for s, m in found.items() if m is not None}
        return EntriesAt(position, self.repairs[slot.partition], entries)

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]:
        """See `Documents`."""
        position = self.views[partition_of(user_id, PARTITIONS)]
        if position < at_least:
            raise ViewBehind(position)
        return Answer(_document(self.shown(user_id, position)), position)

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]:
        """See `Documents`: the page of the first partition; does not call `render`."""
        position = self.views[0]
        if position < at_least:
            raise ViewBehind(position)
        return Answer(self.page(0, position), position)

    def page(self, partition: int, position: int) -> bytes:
        """All users of a partition, as its view shows them at a position."""
        ids = [each for each in USER_IDS if partition_of(each, PARTITIONS) == partition]
        documents = [_document(self.shown(each, position)) for each in ids]
        return b",".join(each.body if each else b"-" for each in documents)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        """See `Documents`."""
        position = min(self.views.values())
        return Answer(b"%d" % position, position)

    async def progress(self, projection: str) -> ProjectionProgress:
        """See `ProgressSource`."""
        if projection == HEADCOUNT.name:
            return ProjectionProgress(1, {0: min(self.views.values())})
        assert projection == USERS.name
        return ProjectionProgress(1, dict(self.views))


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
