"""The slots of the cache: marks, steps that advance them, and removals."""

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from application.cache.ports import Mark, Step
from application.projector.view_store import Slot
from infrastructure.cache.client import Client, answered_within, script
from infrastructure.cache.keys import Keys, mark_value, new_mark, read_mark
from infrastructure.cache.put import MARK_SECONDS, CachedDocument, CachePut

# No reader waits for a follower or an erasure, and one step may carry megabytes.
_TIMEOUT_SECONDS: Final = 2.0


class RedisSlots:
    """See `FollowingCache` and `ErasingCache`.

    Scripts check each write on arrival, also a late or repeated one.
    """

    def __init__(self, client: Client, keys: Keys, cache_put: CachePut) -> None:
        self._client = client
        self._keys = keys
        self._cache_put = cache_put
        self._begin = script(client, "begin")

    async def mark(self, slot: Slot[Any]) -> Mark | None:
        key = self._keys.slot_keys(slot).mark
        async with answered_within(_TIMEOUT_SECONDS):
            return read_mark(await self._client.getex(key, ex=MARK_SECONDS))

    async def begin(self, slot: Slot[Any], seen: Mark | None, position: int, repairs: int) -> None:
        keys, mark = self._keys.slot_keys(slot), new_mark(position, repairs)
        replaced = seen.incarnation if seen else b""
        async with answered_within(_TIMEOUT_SECONDS):
            await self._begin([keys.mark, keys.pages], [replaced, mark_value(mark), MARK_SECONDS])

    async def advance(self, slot: Slot[Any], seen: Mark, step: Step) -> None:
        documents = [
            CachedDocument(self._keys.of(slot, user_id), step.read_at, document)
            for user_id, document in step.users.items()
        ]
        async with answered_within(_TIMEOUT_SECONDS):
            await self._cache_put.put(
                self._keys.slot_keys(slot),
                seen,
                documents,
                after=seen.position,
                reached=step.reached,
            )

    async def end(self, slot: Slot[Any]) -> None:
        keys = self._keys.slot_keys(slot)
        async with answered_within(_TIMEOUT_SECONDS):
            await self._client.unlink(keys.mark, keys.pages)

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        for keys in self._keys.with_previous():
            async with answered_within(_TIMEOUT_SECONDS), self._client.pipeline(False) as pipeline:
                # One command per slot: in a cluster the slots lie on different nodes.
                for slot in slots:
                    pipeline.unlink(keys.of(slot, user_id), keys.slot_keys(slot).pages)
                await pipeline.execute()
