"""The cache for its followers: where a slot stands, and steps that move it on."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.exceptions import RedisError

from application.cache import CacheAway, Step
from application.views import Slot
from infrastructure.cache.client import Client
from infrastructure.cache.keeper import POSITION_SECONDS, Keeper, Kept
from infrastructure.cache.layout import Keys, mark_value, read_mark

# Nobody waits for a follower, and one step may carry megabytes.
_PATIENCE_SECONDS: Final = 2.0
_INCARNATION_BYTES: Final = 8


class RedisFollowingCache:
    """See `FollowingCache`. A step that arrives late or twice is judged when it arrives."""

    def __init__(self, client: Client, keys: Keys, keeper: Keeper) -> None:
        self._client = client
        self._keys = keys
        self._keeper = keeper

    async def position(self, slot: Slot[Any]) -> int | None:
        """See `FollowingCache.position`."""
        key = self._keys.position_of(slot)
        async with _judged():
            mark = read_mark(await self._client.getex(key, ex=POSITION_SECONDS))
        return mark.position if mark else None

    async def begin(self, slot: Slot[Any], position: int) -> None:
        """See `FollowingCache.begin`."""
        key = self._keys.position_of(slot)
        mark = mark_value(secrets.token_hex(_INCARNATION_BYTES), position)
        async with _judged():
            await self._client.set(key, mark, ex=POSITION_SECONDS, nx=True)

    async def advance(self, slot: Slot[Any], step: Step) -> None:
        """See `FollowingCache.advance`."""
        documents = [
            Kept(self._keys.of(slot, user_id), step.read_at, document)
            for user_id, document in step.users.items()
        ]
        key = self._keys.position_of(slot)
        async with _judged():
            await self._keeper.keep(key, documents, after=step.after, reached=step.reached)


@asynccontextmanager
async def _judged() -> AsyncGenerator[None]:
    """Bounded in time; the server's errors as the port names them."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            yield
    except (RedisError, OSError) as error:
        raise CacheAway from error
