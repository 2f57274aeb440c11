"""In-memory wrapped keys for tests."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from application.keys.rotation import Rewrapped, WrappedKey
from application.log.event_log import StreamKey


class InMemoryKeyStore:
    """Keys by subject; a test may change `keys` at any time, as another process would."""

    def __init__(self, keys: Mapping[UUID, StreamKey]) -> None:
        self.keys = dict(keys)
        self.current = ""

    async def counts(self) -> Mapping[str, int]:
        return Counter(key.master_id for key in self.keys.values())

    async def wrapped(
        self, by: Collection[str], *, after: UUID, limit: int
    ) -> Sequence[WrappedKey]:
        found = sorted(
            (WrappedKey(subject, key) for subject, key in self.keys.items()),
            key=lambda wrapped: wrapped.subject,
        )
        found_keys = [each for each in found if each.key.master_id in by and each.subject > after]
        return found_keys[:limit]

    async def make_current(self, master_id: str) -> None:
        self.current = master_id

    async def replace(self, keys: Sequence[Rewrapped]) -> int:
        unchanged = [
            key
            for key in keys
            if self.keys.get(key.subject) == key.old and key.new.master_id == self.current
        ]
        self.keys.update({key.subject: key.new for key in unchanged})
        return len(unchanged)
