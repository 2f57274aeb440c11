"""The whole cache of a process on one Redis, opened and closed in order."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Self
from uuid import UUID

from infrastructure.cache.breaker import CircuitBreaker
from infrastructure.cache.client import Client, open_client
from infrastructure.cache.following import RedisFollowingCache
from infrastructure.cache.keeper import Keeper
from infrastructure.cache.layout import Keys
from infrastructure.cache.stats import RedisStatsCache
from infrastructure.cache.users import RedisUserCache

DEFAULT_TTL: Final = 3600


class RedisCache:
    """What the cache is to readers (`users`, `stats`) and to followers (`following`).

    Readers share one circuit breaker: where one finds the server away, none of them waits for it.
    """

    def __init__(self, client: Client, keys: Keys, ttl: int, breaker: CircuitBreaker) -> None:
        keeper = Keeper(client, ttl)
        self.users = RedisUserCache(client, keys, keeper, breaker)
        self.stats = RedisStatsCache(client, keys, ttl, breaker)
        self.following = RedisFollowingCache(client, keys, keeper)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        redis_url: str,
        log_id: UUID,
        epoch: int,
        *,
        ttl: int = DEFAULT_TTL,
        breaker: CircuitBreaker | None = None,
    ) -> AsyncGenerator[Self]:
        """The cache of one log; documents live for `ttl` seconds. Connects at the first use."""
        async with open_client(redis_url) as client:
            cache = cls(client, Keys(log_id, epoch), ttl, breaker or CircuitBreaker())
            try:
                yield cache
            finally:
                await cache.idle()

    async def idle(self) -> None:
        """Return once nothing is under way, what was offered included."""
        await self.users.idle()
        await self.stats.idle()
