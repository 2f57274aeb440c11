"""The cache in memory: the double that tests use, held to the same contract."""

from collections.abc import Collection, Mapping
from itertools import count
from typing import Any
from uuid import UUID

from msgspec import Struct

from application.cache.ports import CacheCounts, Removed, Step, Vacancy
from application.projector.view_store import Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import UserDocument


class _Kept(Struct):
    """A slot: its position, its documents and its pages.

    `mark` is another one after whatever takes the pages away.
    """

    position: int
    mark: int
    users: dict[UUID, UserDocument | Removed] = {}
    pages: dict[UserList, Answer[bytes]] = {}


class MemoryUserCache:
    """See `UserCache`, `FollowingCache` and `ErasingCache`."""

    def __init__(self) -> None:
        self._slots: dict[str, _Kept] = {}
        self._marks = count()
        self.pages = MemoryPageCache(self._slots)

    async def look_up(self, slot: Slot[Any], user_id: UUID) -> Answer[UserDocument | None] | None:
        kept = self._slots.get(str(slot))
        if kept is None or user_id not in kept.users:
            return None
        document = kept.users[user_id]
        shown = None if isinstance(document, Removed) else document
        return Answer(shown, kept.position, slot.generation)

    def offer(
        self, slot: Slot[Any], user_id: UUID, document: UserDocument | Removed, position: int
    ) -> None:
        kept = self._slots.get(str(slot))
        if kept is None or position < kept.position:
            return
        known = kept.users.get(user_id)
        if known is None or known.version <= document.version:
            kept.users[user_id] = document

    async def position(self, slot: Slot[Any]) -> int | None:
        kept = self._slots.get(str(slot))
        return kept.position if kept else None

    async def begin(self, slot: Slot[Any], position: int) -> None:
        self._slots.setdefault(str(slot), _Kept(position, next(self._marks)))

    async def advance(self, slot: Slot[Any], step: Step) -> None:
        kept = self._slots.get(str(slot))
        if kept is None or kept.position < step.after:
            return
        for user_id, document in step.users.items():
            self.offer(slot, user_id, document, step.read_at)
        if step.reached == 0 or step.reached > kept.position:
            kept.position = max(kept.position, step.reached)
            kept.mark = next(self._marks)
            kept.pages.clear()

    async def begin_again(self, slot: Slot[Any], position: int) -> None:
        self._slots[str(slot)] = _Kept(position, next(self._marks))

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        for slot in slots:
            if kept := self._slots.get(str(slot)):
                kept.users.pop(user_id, None)
                kept.pages.clear()


class MemoryPageCache:
    """See `PageCache`: the pages of a `MemoryUserCache`."""

    def __init__(self, slots: Mapping[str, _Kept]) -> None:
        self._slots = slots

    async def look_up(self, slot: Slot[Any], query: UserList) -> Answer[bytes] | Vacancy | None:
        kept = self._slots.get(str(slot))
        if kept is None:
            return None
        return kept.pages.get(query) or Vacancy(slot, query, b"%d" % kept.mark)

    def offer(self, vacancy: Vacancy, page: Answer[bytes]) -> None:
        kept = self._slots.get(str(vacancy.slot))
        if kept and b"%d" % kept.mark == vacancy.mark and page.position >= kept.position:
            kept.pages[vacancy.query] = page


class MemoryStatsCache:
    """See `StatsCache`."""

    def __init__(self) -> None:
        self._documents: dict[tuple[str, str], Answer[bytes]] = {}

    async def look_up(self, slot: Slot[Any], day: str) -> Answer[bytes] | None:
        return self._documents.get((str(slot), day))

    def offer(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        known = self._documents.get((str(slot), day))
        if known is None or known.position < document.position:
            self._documents[str(slot), day] = document

    async def replace(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        known = self._documents.get((str(slot), day))
        if known is None or known.position <= document.position:
            self._documents[str(slot), day] = document


class MemoryCache:
    """All sides of one cache."""

    def __init__(self) -> None:
        self.users = self.following = self.erasing = MemoryUserCache()
        self.pages = self.users.pages
        self.stats = MemoryStatsCache()
        self.counts = CacheCounts()

    async def idle(self) -> None:
        """It does at once what it is asked for."""
