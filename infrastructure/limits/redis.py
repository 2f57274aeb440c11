"""Limits across processes in Redis, which may lose them: counters and moving windows."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from time import time
from typing import Any, Final, Self, cast
from uuid import UUID

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from application.access.limits_windows import Window
from application.context import TENANT
from infrastructure.breaker import CircuitBreaker
from infrastructure.redis_pool import redis_pool

# A sign-in waits for it.
_REPLY_SECONDS: Final = 0.2
_CONNECTIONS: Final = 4
_SUM_SECONDS: Final = 60
_DOMAIN: Final = b"\x00limits\x00"
# Enough to tell keys apart.
_NAME_BYTES: Final = 16

Mac = Callable[[bytes], bytes]


class RedisLimits:
    """See `SharedSums` and `SharedWindow`. While Redis is away, nothing is shared.

    A key in Redis is a MAC: it tells nobody an address or the id of a token.
    """

    def __init__(self, storage: RedisStorage, mac: Mac, breaker: CircuitBreaker) -> None:
        self._storage = storage
        self._windows = MovingWindowRateLimiter(storage)
        self._mac = mac
        self._breaker = breaker

    @classmethod
    @asynccontextmanager
    async def open(
        cls, redis_url: str, log_id: UUID, mac: Mac, breaker: CircuitBreaker | None = None
    ) -> AsyncGenerator[Self]:
        """The limits of one log. Connects at the first use."""
        pool = redis_pool(redis_url, "limits", connections=_CONNECTIONS)
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=f"rollbook:{TENANT}.{log_id}:limits",
            connection_pool=cast("Any", pool),
        )
        try:
            yield cls(storage, mac, breaker or CircuitBreaker("limits", _REPLY_SECONDS))
        finally:
            await pool.aclose()

    async def attempt(self, window: Window, key: str) -> float:
        item = RateLimitItemPerSecond(window.limit, window.seconds, namespace=window.name)
        return await self._breaker.attempt(lambda: self._attempt(item, self._name(key))) or 0

    async def add(self, used: Mapping[str, int]) -> Mapping[str, int]:
        totals = await self._breaker.attempt(
            lambda: asyncio.gather(*(self._add(key, count) for key, count in used.items()))
        )
        return dict(zip(used, totals, strict=True)) if totals else {}

    async def _attempt(self, item: RateLimitItemPerSecond, name: str) -> float:
        if await self._windows.hit(item, name):
            return 0
        stats = await self._windows.get_window_stats(item, name)
        return max(stats.reset_time - time(), 0.001)

    async def _add(self, key: str, count: int) -> int:
        return await self._storage.incr(self._name(key), _SUM_SECONDS, count)

    def _name(self, key: str) -> str:
        return self._mac(_DOMAIN + key.encode())[:_NAME_BYTES].hex()
