"""Wrapped keys and their holders in memory: the doubles that tests use."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from application.keys.rotation import KeyHolder, Rewrapped, WrappedKey
from application.log.event_log import StreamKey


class InMemoryKeyStore:
    """Keys by subject; `keys` may be changed at any time, as other processes would."""

    def __init__(self, keys: Mapping[UUID, StreamKey]) -> None:
        self.keys = dict(keys)

    async def counts(self) -> Mapping[str, int]:
        return Counter(key.master_id for key in self.keys.values())

    async def wrapped(
        self, by: Collection[str], *, after: UUID, limit: int
    ) -> Sequence[WrappedKey]:
        found = sorted(
            (WrappedKey(subject, key) for subject, key in self.keys.items()),
            key=lambda wrapped: wrapped.subject,
        )
        mine = [each for each in found if each.key.master_id in by and each.subject > after]
        return mine[:limit]

    async def replace(self, keys: Sequence[Rewrapped]) -> int:
        standing = [key for key in keys if self.keys.get(key.subject) == key.old]
        self.keys.update({key.subject: key.new for key in standing})
        return len(standing)


class InMemoryKeyHolders:
    """The processes that a test says are there."""

    def __init__(self, *processes: KeyHolder) -> None:
        self.processes = list(processes)

    async def holders(self) -> Sequence[KeyHolder]:
        return list(self.processes)
