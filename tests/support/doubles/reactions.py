"""The records of reactions in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec.structs import replace

from application.reactions.admin import (
    NO_WORKER,
    ParkedUser,
    Skip,
    StoredReaction,
    StoredReactions,
)


class InMemoryReactionRecords:
    """See `ReactionRecords`; `place` parks a user, `head` is that of the log."""

    def __init__(self) -> None:
        self.head = 0
        self._reactions: dict[str, StoredReaction] = {}
        self._parked: dict[str, list[ParkedUser]] = {}
        self._skips: set[UUID] = set()

    def place(self, name: str, parked: ParkedUser) -> None:
        self._parked.setdefault(name, []).append(parked)

    async def stored(self) -> StoredReactions:
        items = [
            replace(each, parked=len(self._parked.get(name, ())))
            for name, each in sorted(self._reactions.items())
        ]
        return StoredReactions(items=items, position=self.head, head=self.head)

    async def parked(self, name: str, after: int, limit: int) -> Sequence[ParkedUser]:
        found = [each for each in self._parked.get(name, ()) if each.position > after]
        return sorted(found, key=lambda each: each.position)[:limit]

    async def switch(self, name: str, actor: str, *, enabled: bool) -> None:
        known = self._reactions.get(name)
        if known is not None and known.enabled == enabled:
            return
        self._reactions[name] = StoredReaction(
            name=name,
            enabled=enabled,
            missing=NO_WORKER if known is None else known.missing,
            enabled_from=self.head if enabled or known is None else known.enabled_from,
            paused_until=None,
            changed_by=actor,
            changed_at=datetime.now(UTC),
            queued=0,
            parked=0,
        )
        if not enabled:
            self._parked.pop(name, None)

    async def retry(self, name: str, user: UUID) -> bool:
        return self._unpark(name, user)

    async def skip(self, name: str, user: UUID, skip: Skip) -> bool:
        if skip.id in self._skips:
            return True
        if is_parked := self._unpark(name, user):
            self._skips.add(skip.id)
        return is_parked

    def _unpark(self, name: str, user: UUID) -> bool:
        parked = self._parked.get(name, [])
        left = [each for each in parked if each.user != user]
        self._parked[name] = left
        return len(left) < len(parked)
