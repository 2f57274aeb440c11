"""The whole cache of a process on one Redis server."""

import hmac
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Self
from uuid import UUID

from application.cache.ports import CacheCounts
from application.queries.directory import UserList
from infrastructure.breaker import CircuitBreaker
from infrastructure.cache.client import Client, answered_within, open_client
from infrastructure.cache.keys import Keys
from infrastructure.cache.pages import Mac, PageNames, RedisPageCache
from infrastructure.cache.put import CachePut
from infrastructure.cache.slots import RedisSlots
from infrastructure.cache.users import RedisUserCache

DEFAULT_TTL: Final = 3600
# A cache that is slower than the database is useless.
TIMEOUT_SECONDS: Final = 0.1


class RedisCache:
    """The cache for readers (`users`, `pages`, `stats`), and for followers and erasures (`slots`).

    Readers share one circuit breaker: after one finds the server away, no reader waits for it.
    """

    def __init__(
        self, client: Client, keys: Keys, ttl: int, breaker: CircuitBreaker, mac: Mac
    ) -> None:
        cache_put = CachePut(client, ttl)
        self._client = client
        self.counts = CacheCounts()
        counts, names = self.counts, PageNames(mac)
        self.users = RedisUserCache(client, keys, cache_put, breaker, counts.users)
        self.pages = RedisPageCache[UserList](client, keys, names, ttl, breaker, counts.pages)
        self.stats = RedisPageCache[str](client, keys, names, ttl, breaker, counts.stats)
        self.slots = RedisSlots(client, keys, cache_put)

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

        Processes with the same `mac` share pages; without one, the pages are for this process.
        """
        async with open_client(redis_url) as client:
            cache = cls(
                client,
                Keys(log_id, epoch),
                ttl,
                breaker or CircuitBreaker("cache", TIMEOUT_SECONDS),
                mac or _random_mac(),
            )
            try:
                yield cache
            finally:
                await cache.idle()

    async def idle(self) -> None:
        """Returns when no look-up and no offer is in progress."""
        for each in (self.users, self.pages, self.stats):
            await each.idle()

    async def answers(self) -> None:
        """Returns when the server answers. Raises `CacheUnavailable`."""
        async with answered_within(TIMEOUT_SECONDS):
            await self._client.ping()


def _random_mac() -> Mac:
    key = secrets.token_bytes(32)
    return lambda value: hmac.digest(key, value, "sha256")
