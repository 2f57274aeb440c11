"""Pages, such as lists: stored only if the slot has not changed since the miss."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec

from application.cache.ports import DocumentCounts, K, Mark
from application.projector.view_store import Slot
from application.queries.directory import Answer
from infrastructure.breaker import CircuitBreaker
from infrastructure.cache.answers import Offer, RedisAnswers
from infrastructure.cache.client import Client, script
from infrastructure.cache.keys import Keys, SlotKeys, mark_value, page_value, read_page

MAX_PAGES: Final = 1000
MAX_BYTES: Final = 16 * 1024 * 1024
# A page of 200 users takes some 80 kB.
MAX_PAGE_BYTES: Final = 256 * 1024
_PURPOSE: Final = b"\x00pages\x00"
_NAME_BYTES: Final = 16

Mac = Callable[[bytes], bytes]


class PageNames:
    """The name of a page is a keyed digest of its query, because a query may name a person."""

    def __init__(self, mac: Mac) -> None:
        self._mac = mac
        self._encode = msgspec.msgpack.Encoder().encode

    def of(self, query: object) -> bytes:
        return self._mac(_PURPOSE + self._encode(query))[:_NAME_BYTES]


class RedisPageCache(RedisAnswers[K, bytes]):
    """Pages, named by a query. Those of a slot are one hash, bounded in number and bytes."""

    # Few, because pages are long and a round trip must end within a reader's timeout.
    max_look_ups = 8
    max_offers = 1
    max_waiting = 16

    def __init__(
        self,
        client: Client,
        keys: Keys,
        names: PageNames,
        ttl: int,
        breaker: CircuitBreaker,
        counts: DocumentCounts,
    ) -> None:
        super().__init__(keys, breaker, counts)
        self._names = names
        self._ttl = ttl
        self._find = script(client, "find_pages")
        self._put = script(client, "put_page")

    def name_of(self, slot: Slot[Any], key: K) -> bytes:
        return self._names.of(key)

    async def find(self, slot: SlotKeys, names: Sequence[bytes]) -> Sequence[bytes | None]:
        return cast("Sequence[bytes | None]", await self._find([slot.mark, slot.pages], names))

    def read(self, value: bytes | None, mark: Mark, generation: int) -> Answer[bytes] | None:
        return read_page(value, mark, generation)

    def is_too_long(self, value: bytes) -> bool:
        return len(value) > MAX_PAGE_BYTES

    async def put(self, slot: SlotKeys, mark: Mark, offers: Sequence[Offer[bytes]]) -> int:
        stored, limits = 0, (self._ttl, MAX_PAGES, MAX_BYTES)
        for each in offers:
            value = page_value(mark, each.answer)
            arguments = (mark_value(mark), each.answer.position, each.name, value, *limits)
            stored += cast("int", await self._put([slot.mark, slot.pages], arguments))
        return stored
