"""The whole cache of a process on one Redis, opened and closed in order."""

import hmac
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Self
from uuid import UUID

from application.cache.ports import CacheCounts
from infrastructure.cache.breaker import TIMEOUT_SECONDS, CircuitBreaker
from infrastructure.cache.client import Client, answered_within, open_client
from infrastructure.cache.erasing import RedisErasingCache
from infrastructure.cache.followers import RedisFollowingCache
from infrastructure.cache.keys import Keys
from infrastructure.cache.pages import Mac, PageNames, RedisPageCache
from infrastructure.cache.put import CachePut
from infrastructure.cache.recently_read import RedisRecentlyRead
from infrastructure.cache.stats import RedisStatsCache
from infrastructure.cache.users import RedisUserCache

DEFAULT_TTL: Final = 3600


class RedisCache:
    """What the cache is to readers (`users`, `stats`, `pages`), followers and who erases.

    Readers share one circuit breaker: where one finds the server away, none of them waits for it.
    """

    def __init__(
        self, client: Client, keys: Keys, ttl: int, breaker: CircuitBreaker, mac: Mac
    ) -> None:
        keeper = CachePut(client, ttl)
        self._client = client
        self.counts = CacheCounts()
        self.users = RedisUserCache(client, keys, keeper, breaker, self.counts.users)
        self.stats = RedisStatsCache(client, keys, ttl, breaker, self.counts.stats)
        self.pages = RedisPageCache(client, keys, PageNames(mac), ttl, breaker, self.counts.pages)
        self.following = RedisFollowingCache(client, keys, keeper)
        self.erasing = RedisErasingCache(client, keys)
        self.hot = RedisRecentlyRead(client, keys)

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
        mac: Mac | None = None,
    ) -> AsyncGenerator[Self]:
        """The cache of one log; documents live for `ttl` seconds. Connects at the first use.

        Processes whose `mac` is the same share pages; without one, nobody else has these.
        """
        async with open_client(redis_url) as client:
            cache = cls(
                client,
                Keys(log_id, epoch),
                ttl,
                breaker or CircuitBreaker(),
                mac or _mac_of_our_own(),
            )
            try:
                yield cache
            finally:
                await cache.idle()

    async def idle(self) -> None:
        """Return once nothing is under way, what was offered included."""
        await self.users.idle()
        await self.stats.idle()
        await self.pages.idle()

    async def answers(self) -> None:
        """Return if the server answers. Raises `CacheAway`."""
        async with answered_within(TIMEOUT_SECONDS):
            await self._client.ping()


def _mac_of_our_own() -> Mac:
    key = secrets.token_bytes(32)
    return lambda value: hmac.digest(key, value, "sha256")
