"""Erases a person from the cache and reports failures, so that nothing of the person stays."""

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from application.projector.view_store import Slot
from infrastructure.cache.client import Client, answered_within
from infrastructure.cache.keys import Keys, new_mark, read_mark
from infrastructure.cache.put import POSITION_SECONDS

_TIMEOUT_SECONDS: Final = 1.0


class RedisErasingCache:
    """See `ErasingCache`."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def position(self, slot: Slot[Any]) -> int | None:
        """See `ErasingCache.position`."""
        key = self._keys.position_of(slot)
        async with answered_within(_TIMEOUT_SECONDS):
            mark = read_mark(await self._client.getex(key, ex=POSITION_SECONDS))
        return mark.position if mark else None

    async def reset(self, slot: Slot[Any], position: int) -> None:
        """See `ErasingCache.reset`."""
        keys = self._keys.slot_keys(slot)
        async with answered_within(_TIMEOUT_SECONDS):
            # The position first: from then on no older page is stored.
            await self._client.set(keys.position, new_mark(position), ex=POSITION_SECONDS)
            await self._client.unlink(keys.pages)

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        """See `ErasingCache.forget`."""
        async with answered_within(_TIMEOUT_SECONDS):
            for keys in self._keys.with_previous():
                # One command per slot: in a cluster the slots lie on different nodes.
                for slot in slots:
                    await self._client.unlink(keys.of(slot, user_id), keys.slot_keys(slot).pages)
