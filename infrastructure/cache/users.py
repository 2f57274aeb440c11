"""Users for readers."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from application.cache.ports import DocumentCounts, Mark
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import UserDocument
from infrastructure.breaker import CircuitBreaker
from infrastructure.cache.answers import Offer, RedisAnswers
from infrastructure.cache.client import Client
from infrastructure.cache.keys import Keys, SlotKeys, read_user
from infrastructure.cache.put import CachedDocument, CachePut


class RedisUserCache(RedisAnswers[UUID, UserDocument | None]):
    """Each user has a key of its own."""

    max_look_ups = 128
    max_offers = 64
    max_waiting = 1024

    def __init__(
        self,
        client: Client,
        keys: Keys,
        cache_put: CachePut,
        breaker: CircuitBreaker,
        counts: DocumentCounts,
    ) -> None:
        super().__init__(keys, breaker, counts)
        self._client = client
        self._cache_put = cache_put

    def name_of(self, slot: Slot[Any], key: UUID) -> str:
        return self._keys.of(slot, key)

    async def find(self, slot: SlotKeys, names: Sequence[str]) -> Sequence[bytes | None]:
        return await self._client.mget([slot.mark, *names])

    def read(
        self, value: bytes | None, mark: Mark, generation: int
    ) -> Answer[UserDocument | None] | None:
        return read_user(value, mark, generation)

    def is_too_long(self, value: UserDocument | None) -> bool:
        return False

    async def put(
        self, slot: SlotKeys, mark: Mark, offers: Sequence[Offer[UserDocument | None]]
    ) -> int:
        documents = [
            CachedDocument(str(each.name), each.answer.position, each.answer.value)
            for each in offers
            if each.answer.value is not None
        ]
        return await self._cache_put.put(slot, mark, documents)
