"""The statistics of each day: one value, which says itself how new it is."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from application.queries import Answer
from application.views import Slot
from infrastructure.cache.breaker import CircuitBreaker
from infrastructure.cache.client import Client, script
from infrastructure.cache.gatherer import Gatherer
from infrastructure.cache.layout import Keys, read_stats, stats_value

_MOST_LOOK_UPS: Final = 128
# One is enough: who comes while it is under way brings the same, or will be asked again.
_MOST_WAITING_OFFERS: Final = 1


class RedisStatsCache:
    """See `StatsCache`."""

    def __init__(self, client: Client, keys: Keys, ttl: int, breaker: CircuitBreaker) -> None:
        self._client = client
        self._keys = keys
        self._ttl = ttl
        self._breaker = breaker
        self._keep = script(client, "keep_newest")
        self._look_ups = Gatherer[str, bytes | None](self._fetch, most=_MOST_LOOK_UPS)
        self._offers = Gatherer[tuple[str, Answer[bytes]], None](self._store, most=1)

    async def look_up(self, slot: Slot[Any], day: str) -> Answer[bytes] | None:
        """See `StatsCache.look_up`."""
        if self._breaker.is_open:
            return None
        value = await self._look_ups.ask(self._keys.of(slot, day))
        return read_stats(value, slot.generation)

    def offer(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        """See `StatsCache.offer`."""
        if not self._breaker.is_open and self._offers.waiting < _MOST_WAITING_OFFERS:
            self._offers.ask((self._keys.of(slot, day), document))

    async def idle(self) -> None:
        """Return once nothing is under way, what was offered included."""
        await self._look_ups.idle()
        await self._offers.idle()

    async def _fetch(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        values = await self._breaker.attempt(partial(self._client.mget, keys))
        return values or [None] * len(keys)

    async def _store(self, offers: Sequence[tuple[str, Answer[bytes]]]) -> Sequence[None]:
        for key, document in offers:
            arguments = (document.position, stats_value(document), self._ttl)
            await self._breaker.attempt(partial(self._keep, [key], arguments))
        return [None] * len(offers)
