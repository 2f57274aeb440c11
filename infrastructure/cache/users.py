"""Users for readers: looked up and offered in gathered round trips, given up soon."""

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
from infrastructure.cache.batch import Gatherer
from infrastructure.cache.breaker import CircuitBreaker
from infrastructure.cache.client import Client
from infrastructure.cache.keys import Keys, Mark, SlotKeys, read_mark, read_user
from infrastructure.cache.put import CachedDocument, CachePut

_MAX_LOOK_UPS: Final = 128
_MAX_OFFERS: Final = 64
# What cannot be offered now is offered again by the next who misses it.
_MAX_WAITING_OFFERS: Final = 1024

# The slot's mark and the value beside it; None where the slot has no mark.
_Found = tuple[Mark, bytes | None] | None


class _LookUp(Struct, frozen=True):
    position_key: str
    key: str


class _Offer(Struct, frozen=True):
    slot: SlotKeys
    kept: CachedDocument


class RedisUserCache:
    """See `UserCache`."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        keeper: CachePut,
        breaker: CircuitBreaker,
        counts: DocumentCounts,
    ) -> None:
        self._client = client
        self._keys = keys
        self._keeper = keeper
        self._breaker = breaker
        self._counts = counts
        self._look_ups = Gatherer[_LookUp, _Found](self._fetch, most=_MAX_LOOK_UPS)
        self._offers = Gatherer[_Offer, None](self._store, most=_MAX_OFFERS)

    async def look_up(self, slot: Slot[Any], user_id: UUID) -> Answer[UserDocument | None] | None:
        """See `UserCache.look_up`."""
        if self._breaker.is_open:
            self._counts.away += 1
            return None
        keys = self._keys
        asked = _LookUp(keys.position_of(slot), keys.of(slot, user_id))
        found = await self._look_ups.ask(asked)
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
        kept = CachedDocument(self._keys.of(slot, user_id), position, document)
        self._offers.ask(_Offer(self._keys.once_in(slot), kept))

    async def idle(self) -> None:
        """Return once nothing is under way, what was offered included."""
        await self._look_ups.idle()
        await self._offers.idle()

    async def _fetch(self, asked: Sequence[_LookUp]) -> Sequence[_Found]:
        slots = defaultdict[str, list[str]](list)
        for each in asked:
            slots[each.position_key].append(each.key)
        found: dict[str, _Found] = {}
        for position_key, keys in slots.items():
            found |= await self._fetch_slot(position_key, keys)
        return [found.get(each.key) for each in asked]

    async def _fetch_slot(self, position_key: str, keys: Sequence[str]) -> dict[str, _Found]:
        """The mark and the values by one command, so that they are of one moment."""
        values = await self._breaker.attempt(partial(self._client.mget, [position_key, *keys]))
        mark = read_mark(values[0]) if values else None
        if values is None or mark is None:
            return {}
        return {key: (mark, value) for key, value in zip(keys, values[1:], strict=True)}

    async def _store(self, offers: Sequence[_Offer]) -> Sequence[None]:
        slots = defaultdict[SlotKeys, list[CachedDocument]](list)
        for offer in offers:
            slots[offer.slot].append(offer.kept)
        for slot, documents in slots.items():
            kept = await self._breaker.attempt(partial(self._keeper.keep, slot, documents)) or 0
            self._counts.kept += kept
            self._counts.refused += len(documents) - kept
        return [None] * len(offers)
