"""The statistics of each day: one value, which contains its own position."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from application.cache.ports import DocumentCounts
from application.projector.view_store import Slot
from application.queries.directory import Answer
from infrastructure.cache.batch import BatchLoader
from infrastructure.cache.breaker import CircuitBreaker
from infrastructure.cache.client import Client, answered_within, script
from infrastructure.cache.keys import Keys, read_stats, stats_value

_MAX_LOOK_UPS: Final = 128
# One is enough: a later offer is either equal or will be made again.
_MAX_WAITING_OFFERS: Final = 1
# No caller waits for a follower.
_REPLACE_SECONDS: Final = 2.0

# The value of a key; None if the server did not answer.
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
        self._put_newest = script(client, "put_newest")
        self._look_ups = BatchLoader[str, _Found](self._fetch, max_batch=_MAX_LOOK_UPS)
        self._offers = BatchLoader[tuple[str, Answer[bytes]], None](self._store, max_batch=1)

    async def look_up(self, slot: Slot[Any], day: str) -> Answer[bytes] | None:
        """See `StatsCache.look_up`."""
        if self._breaker.is_open:
            self._counts.away += 1
            return None
        found = await self._look_ups.load(self._keys.of(slot, day))
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
        self._offers.load((self._keys.of(slot, day), document))

    async def replace(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        """See `StatsCache.replace`."""
        async with answered_within(_REPLACE_SECONDS):
            await self._put(self._keys.of(slot, day), document, in_place=True)

    async def idle(self) -> None:
        """Returns when no look-up and no offer is in progress."""
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
        arguments = (document.position, stats_value(document), self._ttl, int(in_place))
        return bool(await self._put_newest([key], arguments))
