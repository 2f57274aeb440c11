"""Users for readers: looked up and stored in batches, with a short timeout."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from application.cache.ports import DocumentCounts
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import UserDocument
from infrastructure.cache.batch import BatchLoader
from infrastructure.cache.breaker import CircuitBreaker
from infrastructure.cache.client import Client
from infrastructure.cache.keys import Keys, Mark, SlotKeys, read_mark, read_user
from infrastructure.cache.put import CachedDocument, CachePut

_MAX_LOOK_UPS: Final = 128
_MAX_OFFERS: Final = 64
# A refused document is offered again after its next miss.
_MAX_WAITING_OFFERS: Final = 1024

# The slot's mark and the value; None if the slot has no mark.
_Found = tuple[Mark, bytes | None] | None


class _LookUp(Struct, frozen=True):
    position_key: str
    key: str


class _Offer(Struct, frozen=True):
    slot: SlotKeys
    cached: CachedDocument


class RedisUserCache:
    """See `UserCache`."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        cache_put: CachePut,
        breaker: CircuitBreaker,
        counts: DocumentCounts,
    ) -> None:
        self._client = client
        self._keys = keys
        self._cache_put = cache_put
        self._breaker = breaker
        self._counts = counts
        self._look_ups = BatchLoader[_LookUp, _Found](self._fetch, max_batch=_MAX_LOOK_UPS)
        self._offers = BatchLoader[_Offer, None](self._store, max_batch=_MAX_OFFERS)

    async def look_up(self, slot: Slot[Any], user_id: UUID) -> Answer[UserDocument | None] | None:
        """See `UserCache.look_up`."""
        if self._breaker.is_open:
            self._counts.away += 1
            return None
        keys = self._keys
        wanted = _LookUp(keys.position_of(slot), keys.of(slot, user_id))
        found = await self._look_ups.load(wanted)
        if found is None:
            self._counts.away += 1
            return None
        mark, value = found
        answer = read_user(value, mark, slot.generation)
        if answer is None:
            self._counts.misses += 1
        return answer

    def offer(self, slot: Slot[Any], user_id: UUID, document: UserDocument, position: int) -> None:
        """See `UserCache.offer`."""
        if self._breaker.is_open or self._offers.waiting >= _MAX_WAITING_OFFERS:
            self._counts.refused += 1
            return
        cached = CachedDocument(self._keys.of(slot, user_id), position, document)
        self._offers.load(_Offer(self._keys.slot_keys(slot), cached))

    async def idle(self) -> None:
        """Returns when no look-up and no offer is in progress."""
        await self._look_ups.idle()
        await self._offers.idle()

    async def _fetch(self, wanted: Sequence[_LookUp]) -> Sequence[_Found]:
        slots = defaultdict[str, list[str]](list)
        for each in wanted:
            slots[each.position_key].append(each.key)
        found: dict[str, _Found] = {}
        for position_key, keys in slots.items():
            found |= await self._fetch_slot(position_key, keys)
        return [found.get(each.key) for each in wanted]

    async def _fetch_slot(self, position_key: str, keys: Sequence[str]) -> dict[str, _Found]:
        """The mark and the values, read atomically by one command."""
        values = await self._breaker.attempt(partial(self._client.mget, [position_key, *keys]))
        mark = read_mark(values[0]) if values else None
        if values is None or mark is None:
            return {}
        return {key: (mark, value) for key, value in zip(keys, values[1:], strict=True)}

    async def _store(self, offers: Sequence[_Offer]) -> Sequence[None]:
        slots = defaultdict[SlotKeys, list[CachedDocument]](list)
        for offer in offers:
            slots[offer.slot].append(offer.cached)
        for slot, documents in slots.items():
            stored = await self._breaker.attempt(partial(self._cache_put.put, slot, documents)) or 0
            self._counts.kept += stored
            self._counts.refused += len(documents) - stored
        return [None] * len(offers)
