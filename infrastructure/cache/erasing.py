"""The cache for who must know that nothing of a person is left in it."""

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

    async def begin_again(self, slot: Slot[Any], position: int) -> None:
        """See `ErasingCache.begin_again`."""
        keys = self._keys.once_in(slot)
        async with answered_within(_TIMEOUT_SECONDS):
            # The position first: from then on no page of before is taken.
            await self._client.set(keys.position, new_mark(position), ex=POSITION_SECONDS)
            await self._client.unlink(keys.pages)

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        """See `ErasingCache.forget`."""
        async with answered_within(_TIMEOUT_SECONDS):
            for keys in self._keys.with_former():
                # One command a slot: in a cluster they lie apart.
                for slot in slots:
                    await self._client.unlink(keys.of(slot, user_id), keys.once_in(slot).pages)
