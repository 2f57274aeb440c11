"""The cache for its followers: the position of a slot, and steps that advance it."""

from typing import Any, Final

from application.cache.ports import Step
from application.projector.view_store import Slot
from infrastructure.cache.client import Client, answered_within
from infrastructure.cache.keys import Keys, new_mark, read_mark
from infrastructure.cache.put import POSITION_SECONDS, CachedDocument, CachePut

# No caller waits for a follower, and one step may carry megabytes.
_TIMEOUT_SECONDS: Final = 2.0


class RedisFollowingCache:
    """See `FollowingCache`. The script checks each step on arrival, also a late or repeated one."""

    def __init__(self, client: Client, keys: Keys, cache_put: CachePut) -> None:
        self._client = client
        self._keys = keys
        self._cache_put = cache_put

    async def position(self, slot: Slot[Any]) -> int | None:
        """See `FollowingCache.position`."""
        key = self._keys.position_of(slot)
        async with answered_within(_TIMEOUT_SECONDS):
            mark = read_mark(await self._client.getex(key, ex=POSITION_SECONDS))
        return mark.position if mark else None

    async def begin(self, slot: Slot[Any], position: int) -> None:
        """See `FollowingCache.begin`."""
        keys = self._keys.slot_keys(slot)
        async with answered_within(_TIMEOUT_SECONDS):
            began = await self._client.set(
                keys.position, new_mark(position), ex=POSITION_SECONDS, nx=True
            )
            if began:
                # Old pages are no longer valid, and nothing else would delete them.
                await self._client.unlink(keys.pages)

    async def advance(self, slot: Slot[Any], step: Step) -> None:
        """See `FollowingCache.advance`."""
        documents = [
            CachedDocument(self._keys.of(slot, user_id), step.read_at, document)
            for user_id, document in step.users.items()
        ]
        async with answered_within(_TIMEOUT_SECONDS):
            await self._cache_put.put(
                self._keys.slot_keys(slot),
                documents,
                after=step.after,
                reached=step.reached,
                repaired=step.reached == 0,
            )
