"""The statistics of each day: one value, which says itself how new it is."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from application.cache.ports import DocumentCounts
from application.projector.view_store import Slot
from application.queries.directory import Answer
from infrastructure.cache.batch import Gatherer
from infrastructure.cache.breaker import CircuitBreaker
from infrastructure.cache.client import Client, answered_within, script
from infrastructure.cache.keys import Keys, read_stats, stats_value

_MAX_LOOK_UPS: Final = 128
# One is enough: who comes while it is under way brings the same, or will be asked again.
_MAX_WAITING_OFFERS: Final = 1
# Nobody waits for a follower.
_REPLACE_SECONDS: Final = 2.0

# What lies at a key; None where the server did not answer.
_Found = tuple[bytes | None] | None


class RedisStatsCache:
    """See `StatsCache`."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        ttl: int,
        breaker: CircuitBreaker,
        counts: DocumentCounts,
    ) -> None:
        self._client = client
        self._keys = keys
        self._ttl = ttl
        self._breaker = breaker
        self._counts = counts
        self._keep = script(client, "put_newest")
        self._look_ups = Gatherer[str, _Found](self._fetch, most=_MAX_LOOK_UPS)
        self._offers = Gatherer[tuple[str, Answer[bytes]], None](self._store, most=1)

    async def look_up(self, slot: Slot[Any], day: str) -> Answer[bytes] | None:
        """See `StatsCache.look_up`."""
        if self._breaker.is_open:
            self._counts.away += 1
            return None
        found = await self._look_ups.ask(self._keys.of(slot, day))
        if found is None:
            self._counts.away += 1
            return None
        answer = read_stats(found[0], slot.generation)
        if answer is None:
            self._counts.misses += 1
        return answer

    def offer(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        """See `StatsCache.offer`."""
        if self._breaker.is_open or self._offers.waiting >= _MAX_WAITING_OFFERS:
            self._counts.refused += 1
            return
        self._offers.ask((self._keys.of(slot, day), document))

    async def replace(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        """See `StatsCache.replace`."""
        async with answered_within(_REPLACE_SECONDS):
            await self._put(self._keys.of(slot, day), document, in_place=True)

    async def idle(self) -> None:
        """Return once nothing is under way, what was offered included."""
        await self._look_ups.idle()
        await self._offers.idle()

    async def _fetch(self, keys: Sequence[str]) -> Sequence[_Found]:
        values = await self._breaker.attempt(partial(self._client.mget, keys))
        return [(value,) for value in values] if values else [None] * len(keys)

    async def _store(self, offers: Sequence[tuple[str, Answer[bytes]]]) -> Sequence[None]:
        for key, document in offers:
            if await self._breaker.attempt(partial(self._put, key, document)):
                self._counts.kept += 1
            else:
                self._counts.refused += 1
        return [None] * len(offers)

    async def _put(self, key: str, document: Answer[bytes], *, in_place: bool = False) -> bool:
        given = (document.position, stats_value(document), self._ttl, int(in_place))
        return bool(await self._keep([key], given))
