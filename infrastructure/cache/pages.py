"""Pages of lists: looked up in batches; stored only if the slot has not changed since the miss."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from application.cache.ports import DocumentCounts, PageMiss
from application.projector.view_store import Slot
from application.queries.directory import Answer, UserList
from infrastructure.cache.batch import BatchLoader
from infrastructure.cache.breaker import CircuitBreaker
from infrastructure.cache.client import Client, script
from infrastructure.cache.keys import Keys, Mark, SlotKeys, page_value, read_mark, read_page

MAX_PAGES: Final = 1000
MAX_BYTES: Final = 16 * 1024 * 1024
# A page of 200 users takes some 80 kB.
MAX_PAGE_BYTES: Final = 256 * 1024
# Few, because pages are long and a round trip must end within a reader's timeout.
_MAX_LOOK_UPS: Final = 8
# Waiting offers are held in memory; a refused page is offered again after its next miss.
_MAX_WAITING_OFFERS: Final = 16
_PURPOSE: Final = b"\x00pages\x00"
_NAME_BYTES: Final = 16

Mac = Callable[[bytes], bytes]

# The slot's mark and the page; None if the slot has no mark.
_Found = tuple[Mark, bytes | None] | None


class _LookUp(Struct, frozen=True):
    keys: SlotKeys
    name: bytes


class _Offer(Struct, frozen=True):
    keys: SlotKeys
    name: bytes
    mark: bytes
    page: Answer[bytes]


class PageNames:
    """The name of a page is a keyed digest of its query, because a query may name a person."""

    def __init__(self, mac: Mac) -> None:
        self._mac = mac
        self._encode = msgspec.msgpack.Encoder().encode

    def of(self, query: UserList) -> bytes:
        return self._mac(_PURPOSE + self._encode(query))[:_NAME_BYTES]


class RedisPageCache:
    """See `PageCache`. The pages of a slot are one hash, bounded in number and bytes."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        names: PageNames,
        ttl: int,
        breaker: CircuitBreaker,
        counts: DocumentCounts,
    ) -> None:
        self._keys = keys
        self._names = names
        self._ttl = ttl
        self._breaker = breaker
        self._counts = counts
        self._find = script(client, "find_pages")
        self._put = script(client, "put_page")
        self._look_ups = BatchLoader[_LookUp, _Found](self._fetch, max_batch=_MAX_LOOK_UPS)
        self._offers = BatchLoader[_Offer, None](self._store, max_batch=1)

    async def look_up(self, slot: Slot[Any], query: UserList) -> Answer[bytes] | PageMiss | None:
        """See `PageCache.look_up`."""
        found = None
        if not self._breaker.is_open:
            wanted = _LookUp(self._keys.slot_keys(slot), self._names.of(query))
            found = await self._look_ups.load(wanted)
        if found is None:
            self._counts.away += 1
            return None
        mark, value = found
        page = read_page(value, mark, slot.generation)
        if page is None:
            self._counts.misses += 1
            return PageMiss(slot, query, mark.value)
        return page

    def offer(self, vacancy: PageMiss, page: Answer[bytes]) -> None:
        """See `PageCache.offer`."""
        full = self._offers.waiting >= _MAX_WAITING_OFFERS
        if self._breaker.is_open or full or len(page.value) > MAX_PAGE_BYTES:
            self._counts.refused += 1
            return
        keys, name = self._keys.slot_keys(vacancy.slot), self._names.of(vacancy.query)
        self._offers.load(_Offer(keys, name, vacancy.mark, page))

    async def idle(self) -> None:
        """Returns when no look-up and no offer is in progress."""
        await self._look_ups.idle()
        await self._offers.idle()

    async def _fetch(self, wanted: Sequence[_LookUp]) -> Sequence[_Found]:
        slots = defaultdict[SlotKeys, set[bytes]](set)
        for each in wanted:
            slots[each.keys].add(each.name)
        found: dict[_LookUp, _Found] = {}
        for keys, names in slots.items():
            found |= await self._fetch_slot(keys, list(names))
        return [found.get(each) for each in wanted]

    async def _fetch_slot(self, keys: SlotKeys, names: Sequence[bytes]) -> dict[_LookUp, _Found]:
        """The mark and the pages, read atomically by one script."""
        work = partial(self._find, [keys.position, keys.pages], names)
        values = cast("Sequence[bytes | None] | None", await self._breaker.attempt(work))
        mark = read_mark(values[0]) if values else None
        if values is None or mark is None:
            return {}
        pages = zip(names, values[1:], strict=True)
        return {_LookUp(keys, name): (mark, value) for name, value in pages}

    async def _store(self, offers: Sequence[_Offer]) -> Sequence[None]:
        for offer in offers:
            value = page_value(offer.mark, offer.page)
            arguments = (offer.mark, offer.page.position, offer.name, value, self._ttl)
            limits = (MAX_PAGES, MAX_BYTES)
            keys = [offer.keys.position, offer.keys.pages]
            work = partial(self._put, keys, (*arguments, *limits))
            if await self._breaker.attempt(work):
                self._counts.kept += 1
            else:
                self._counts.refused += 1
        return [None] * len(offers)
