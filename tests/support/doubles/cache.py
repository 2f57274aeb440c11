"""The in-memory cache for tests; it passes the same contract suite as the real one."""

from collections.abc import Collection, Mapping
from itertools import count
from typing import Any
from uuid import UUID

from msgspec import Struct

from application.cache.ports import CacheCounts, PageMiss, Removed, Step
from application.projector.view_store import Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import UserDocument


class _CachedSlot(Struct):
    """A slot: its position, its documents and its pages.

    `mark` changes whenever the pages are removed.
    """

    position: int
    mark: int
    users: dict[UUID, UserDocument | Removed] = {}
    pages: dict[UserList, Answer[bytes]] = {}


class MemoryUserCache:
    """See `UserCache`, `FollowingCache` and `ErasingCache`."""

    def __init__(self) -> None:
        self._slots: dict[str, _CachedSlot] = {}
        self._marks = count()
        self.pages = MemoryPageCache(self._slots)

    async def look_up(self, slot: Slot[Any], user_id: UUID) -> Answer[UserDocument | None] | None:
        cached = self._slots.get(str(slot))
        if cached is None or user_id not in cached.users:
            return None
        document = cached.users[user_id]
        shown = None if isinstance(document, Removed) else document
        return Answer(shown, cached.position, slot.generation)

    def offer(
        self, slot: Slot[Any], user_id: UUID, document: UserDocument | Removed, position: int
    ) -> None:
        cached = self._slots.get(str(slot))
        if cached is None or position < cached.position:
            return
        known = cached.users.get(user_id)
        if known is None or known.version <= document.version:
            cached.users[user_id] = document

    async def position(self, slot: Slot[Any]) -> int | None:
        cached = self._slots.get(str(slot))
        return cached.position if cached else None

    async def begin(self, slot: Slot[Any], position: int) -> None:
        self._slots.setdefault(str(slot), _CachedSlot(position, next(self._marks)))

    async def advance(self, slot: Slot[Any], step: Step) -> None:
        cached = self._slots.get(str(slot))
        if cached is None or cached.position < step.after:
            return
        for user_id, document in step.users.items():
            self.offer(slot, user_id, document, step.read_at)
        if step.reached == 0 or step.reached > cached.position:
            cached.position = max(cached.position, step.reached)
            cached.mark = next(self._marks)
            cached.pages.clear()

    async def reset(self, slot: Slot[Any], position: int) -> None:
        self._slots[str(slot)] = _CachedSlot(position, next(self._marks))

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        for slot in slots:
            if cached := self._slots.get(str(slot)):
                cached.users.pop(user_id, None)
                cached.pages.clear()


class MemoryPageCache:
    """See `PageCache`: the pages of a `MemoryUserCache`."""

    def __init__(self, slots: Mapping[str, _CachedSlot]) -> None:
        self._slots = slots

    async def look_up(self, slot: Slot[Any], query: UserList) -> Answer[bytes] | PageMiss | None:
        cached = self._slots.get(str(slot))
        if cached is None:
            return None
        return cached.pages.get(query) or PageMiss(slot, query, b"%d" % cached.mark)

    def offer(self, vacancy: PageMiss, page: Answer[bytes]) -> None:
        cached = self._slots.get(str(vacancy.slot))
        if cached and b"%d" % cached.mark == vacancy.mark and page.position >= cached.position:
            cached.pages[vacancy.query] = page


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
    """All ports of one cache."""

    def __init__(self) -> None:
        self.users = self.following = self.erasing = MemoryUserCache()
        self.pages = self.users.pages
        self.stats = MemoryStatsCache()
        self.counts = CacheCounts()

    async def idle(self) -> None:
        """Nothing is pending: each call has its effect at once."""
