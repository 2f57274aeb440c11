"""The in-memory cache for tests; it passes the same contract suite as the real one."""

from collections.abc import Collection
from itertools import count
from typing import Any, Generic
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.cache.ports import CacheCounts, DocumentCounts, K, Mark, Miss, Removed, Step
from application.projector.view_store import Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import UserDocument


class _CachedSlot(Struct):
    """A slot: its mark, its documents and its pages."""

    mark: Mark
    users: dict[UUID, UserDocument | Removed] = {}
    pages: dict[object, Answer[bytes]] = {}

    def put(self, user_id: UUID, document: UserDocument | Removed, read_at: int) -> None:
        known = self.users.get(user_id)
        is_newer = known is None or known.version <= document.version
        if is_newer and read_at >= self.mark.position:
            self.users[user_id] = document


class MemoryCache:
    """All ports of one cache: itself `slots`, for followers and erasures."""

    def __init__(self) -> None:
        self.known: dict[str, _CachedSlot] = {}
        self.counts = CacheCounts()
        self.slots = self
        self.users = MemoryUsers(self.known, self.counts.users)
        self.pages = MemoryPages[UserList](self.known, self.counts.pages)
        self.stats = MemoryPages[str](self.known, self.counts.stats)
        self._incarnations = count(1)

    async def idle(self) -> None:
        """Nothing is pending: each call has its effect at once."""

    async def mark(self, slot: Slot[Any]) -> Mark | None:
        cached = self.known.get(str(slot))
        return cached.mark if cached else None

    async def begin(self, slot: Slot[Any], seen: Mark | None, position: int, repairs: int) -> None:
        cached = self.known.get(str(slot))
        found = cached.mark.incarnation if cached else None
        if found == (seen.incarnation if seen else None):
            mark = Mark(b"%d" % next(self._incarnations), position, repairs)
            self.known[str(slot)] = _CachedSlot(mark)

    async def advance(self, slot: Slot[Any], seen: Mark, step: Step) -> None:
        cached = _same_incarnation(self.known, slot, seen)
        if cached is None or cached.mark.position < seen.position:
            return
        for user_id, document in step.users.items():
            cached.put(user_id, document, step.read_at)
        if step.reached > cached.mark.position:
            cached.mark = replace(cached.mark, position=step.reached)
            cached.pages.clear()

    async def end(self, slot: Slot[Any]) -> None:
        self.known.pop(str(slot), None)

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        for slot in slots:
            if cached := self.known.get(str(slot)):
                cached.users.pop(user_id, None)
                cached.pages.clear()


class MemoryUsers:
    """See `CachedAnswers`: the users of a `MemoryCache`."""

    def __init__(self, slots: dict[str, _CachedSlot], counts: DocumentCounts) -> None:
        self._slots = slots
        self.counts = counts

    async def look_up(
        self, slot: Slot[Any], key: UUID
    ) -> Answer[UserDocument | None] | Miss[UUID] | None:
        cached = self._slots.get(str(slot))
        if cached is None:
            return None
        if (document := cached.users.get(key)) is None:
            return Miss(slot, key, cached.mark)
        shown = None if isinstance(document, Removed) else document
        return Answer(shown, cached.mark.position, slot.generation)

    def offer(self, miss: Miss[UUID], answer: Answer[UserDocument | None]) -> None:
        cached = _same_incarnation(self._slots, miss.slot, miss.mark)
        if cached and answer.value:
            cached.put(miss.key, answer.value, answer.position)


class MemoryPages(Generic[K]):
    """See `CachedAnswers`: the pages of a `MemoryCache`."""

    def __init__(self, slots: dict[str, _CachedSlot], counts: DocumentCounts) -> None:
        self._slots = slots
        self.counts = counts

    async def look_up(self, slot: Slot[Any], key: K) -> Answer[bytes] | Miss[K] | None:
        cached = self._slots.get(str(slot))
        if cached is None:
            return None
        return cached.pages.get(key) or Miss(slot, key, cached.mark)

    def offer(self, miss: Miss[K], answer: Answer[bytes]) -> None:
        cached = self._slots.get(str(miss.slot))
        if cached and cached.mark == miss.mark and answer.position >= cached.mark.position:
            cached.pages[miss.key] = answer


def _same_incarnation(
    slots: dict[str, _CachedSlot], slot: Slot[Any], seen: Mark
) -> _CachedSlot | None:
    cached = slots.get(str(slot))
    return cached if cached and cached.mark.incarnation == seen.incarnation else None
