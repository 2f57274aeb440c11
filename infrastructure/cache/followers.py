"""The cache for its followers: where a slot stands, and steps that move it on."""

from typing import Any, Final

from application.cache.ports import Step
from application.projector.view_store import Slot
from infrastructure.cache.client import Client, answered_within
from infrastructure.cache.keys import Keys, new_mark, read_mark
from infrastructure.cache.put import POSITION_SECONDS, CachedDocument, CachePut

# Nobody waits for a follower, and one step may carry megabytes.
_TIMEOUT_SECONDS: Final = 2.0


class RedisFollowingCache:
    """See `FollowingCache`. A step that arrives late or twice is judged when it arrives."""

    def __init__(self, client: Client, keys: Keys, keeper: CachePut) -> None:
        self._client = client
        self._keys = keys
        self._keeper = keeper

    async def position(self, slot: Slot[Any]) -> int | None:
        """See `FollowingCache.position`."""
        key = self._keys.position_of(slot)
        async with answered_within(_TIMEOUT_SECONDS):
            mark = read_mark(await self._client.getex(key, ex=POSITION_SECONDS))
        return mark.position if mark else None

    async def begin(self, slot: Slot[Any], position: int) -> None:
        """See `FollowingCache.begin`."""
        keys = self._keys.once_in(slot)
        async with answered_within(_TIMEOUT_SECONDS):
            began = await self._client.set(
                keys.position, new_mark(position), ex=POSITION_SECONDS, nx=True
            )
            if began:
                # They no longer count, and nobody else would come by.
                await self._client.unlink(keys.pages)

    async def advance(self, slot: Slot[Any], step: Step) -> None:
        """See `FollowingCache.advance`."""
        documents = [
            CachedDocument(self._keys.of(slot, user_id), step.read_at, document)
            for user_id, document in step.users.items()
        ]
        async with answered_within(_TIMEOUT_SECONDS):
            await self._keeper.keep(
                self._keys.once_in(slot),
                documents,
                after=step.after,
                reached=step.reached,
                mended=step.reached == 0,
            )
