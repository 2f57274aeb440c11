"""The cache in memory: the double that tests use, held to the same contract."""

from typing import Any
from uuid import UUID

from msgspec import Struct

from application.cache import Removed, Step
from application.documents import UserDocument
from application.queries import Answer
from application.views import Slot


class _Kept(Struct):
    """A slot: its position, and its documents."""

    position: int
    users: dict[UUID, UserDocument | Removed]


class MemoryUserCache:
    """See `UserCache` and `FollowingCache`."""

    def __init__(self) -> None:
        self._slots: dict[str, _Kept] = {}

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
        if known is None or known.version < document.version:
            kept.users[user_id] = document

    async def position(self, slot: Slot[Any]) -> int | None:
        kept = self._slots.get(str(slot))
        return kept.position if kept else None

    async def begin(self, slot: Slot[Any], position: int) -> None:
        self._slots.setdefault(str(slot), _Kept(position, {}))

    async def advance(self, slot: Slot[Any], step: Step) -> None:
        kept = self._slots.get(str(slot))
        if kept is None or kept.position < step.after:
            return
        for user_id, document in step.users.items():
            self.offer(slot, user_id, document, step.read_at)
        kept.position = max(kept.position, step.reached)


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
