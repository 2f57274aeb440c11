"""Documents of one kind for readers: looked up and stored in batches, with a short timeout."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Generic

from msgspec import Struct

from application.cache.ports import DocumentCounts, K, Mark, Miss, T
from application.projector.view_store import Slot
from application.queries.directory import Answer
from infrastructure.breaker import CircuitBreaker
from infrastructure.cache.batch import BatchLoader
from infrastructure.cache.keys import Keys, SlotKeys, read_mark

# The name of a document in its slot: a key, or a field of the pages.
Name = str | bytes

# The slot's mark and the value; None if the slot has no mark.
_Found = tuple[Mark, bytes | None] | None


class Offer(Struct, Generic[T], frozen=True):
    """An answer that was read after a miss at this mark."""

    slot: SlotKeys
    mark: Mark
    name: Name
    answer: Answer[T]


class _Wanted(Struct, frozen=True):
    slot: SlotKeys
    name: Name


class RedisAnswers(ABC, Generic[K, T]):
    """See `CachedAnswers`. Subclasses say how a kind is named, found, read and stored."""

    max_look_ups: ClassVar[int]
    max_offers: ClassVar[int]
    # Waiting offers are held in memory; what is refused is offered again after its next miss.
    max_waiting: ClassVar[int]

    def __init__(self, keys: Keys, breaker: CircuitBreaker, counts: DocumentCounts) -> None:
        self.counts = counts
        self._keys = keys
        self._breaker = breaker
        self._look_ups = BatchLoader[_Wanted, _Found](self._fetch, max_batch=self.max_look_ups)
        self._offers = BatchLoader[Offer[T], None](self._store, max_batch=self.max_offers)

    @abstractmethod
    def name_of(self, slot: Slot[Any], key: K) -> Name:
        """The name under which a slot has the document."""

    @abstractmethod
    async def find(self, slot: SlotKeys, names: Sequence[Any]) -> Sequence[bytes | None]:
        """The slot's mark, then the values, read atomically. Raises redis-py's errors."""

    @abstractmethod
    def read(self, value: bytes | None, mark: Mark, generation: int) -> Answer[T] | None:
        """The answer; None if the value is not valid."""

    @abstractmethod
    def is_too_long(self, value: T) -> bool:
        """Whether the value is never stored."""

    @abstractmethod
    async def put(self, slot: SlotKeys, mark: Mark, offers: Sequence[Offer[T]]) -> int:
        """Store answers to misses at one mark; the number stored. Raises redis-py's errors."""

    async def look_up(self, slot: Slot[Any], key: K) -> Answer[T] | Miss[K] | None:
        found = None
        if not self._breaker.is_open:
            wanted = _Wanted(self._keys.slot_keys(slot), self.name_of(slot, key))
            found = await self._look_ups.load(wanted)
        if found is None:
            self.counts.away += 1
            return None
        mark, value = found
        answer = self.read(value, mark, slot.generation)
        if answer is None:
            self.counts.misses += 1
            return Miss(slot, key, mark)
        return answer

    def offer(self, miss: Miss[K], answer: Answer[T]) -> None:
        full = self._offers.waiting >= self.max_waiting
        if self._breaker.is_open or full or self.is_too_long(answer.value):
            self.counts.refused += 1
            return
        keys, name = self._keys.slot_keys(miss.slot), self.name_of(miss.slot, miss.key)
        self._offers.load(Offer(keys, miss.mark, name, answer))

    async def idle(self) -> None:
        """Returns when no look-up and no offer is in progress."""
        await self._look_ups.idle()
        await self._offers.idle()

    async def _fetch(self, wanted: Sequence[_Wanted]) -> Sequence[_Found]:
        slots = defaultdict[SlotKeys, set[Name]](set)
        for each in wanted:
            slots[each.slot].add(each.name)
        found: dict[_Wanted, _Found] = {}
        for slot, names in slots.items():
            values = await self._breaker.attempt(partial(self.find, slot, list(names)))
            mark = read_mark(values[0]) if values else None
            if values and mark:
                pairs = zip(names, values[1:], strict=True)
                found |= {_Wanted(slot, name): (mark, value) for name, value in pairs}
        return [found.get(each) for each in wanted]

    async def _store(self, offers: Sequence[Offer[T]]) -> Sequence[None]:
        groups = defaultdict[tuple[SlotKeys, Mark], list[Offer[T]]](list)
        for offer in offers:
            groups[offer.slot, offer.mark].append(offer)
        for (slot, mark), each in groups.items():
            stored = await self._breaker.attempt(partial(self.put, slot, mark, each)) or 0
            self.counts.kept += stored
            self.counts.refused += len(each) - stored
        return [None] * len(offers)
