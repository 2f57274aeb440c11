"""Puts documents of one slot into Redis through the script that checks them."""

from collections.abc import Sequence
from typing import Final, cast

from msgspec import Struct

from application.cache.ports import Removed
from application.queries.documents import UserDocument
from infrastructure.cache.client import Client, script
from infrastructure.cache.keys import SlotKeys, user_value

# Renewed whenever a follower reads the position: without a follower, entries expire.
POSITION_SECONDS: Final = 3600


class CachedDocument(Struct, frozen=True):
    """A document as it was at a position."""

    key: str
    read_at: int
    document: UserDocument | Removed


class CachePut:
    """Calls `put.lua`; documents live for `ttl` seconds."""

    def __init__(self, client: Client, ttl: int) -> None:
        self._script = script(client, "put")
        self._ttl = ttl

    async def put(
        self,
        slot: SlotKeys,
        documents: Sequence[CachedDocument],
        *,
        after: int = 0,
        reached: int = 0,
        repaired: bool = False,
    ) -> int:
        """Store documents that are not behind the slot's position, and advance it to `reached`.

        Returns the number stored: 0, without any change, if the position is below `after`. Pages
        are deleted if the position moves or if the documents were `repaired` (changed without an
        event). Raises redis-py's errors.
        """
        arguments: list[int | bytes] = [after, reached, self._ttl, POSITION_SECONDS, int(repaired)]
        for each in documents:
            arguments += (each.read_at, each.document.version, user_value(each.document))
        keys = [slot.position, slot.pages, *(each.key for each in documents)]
        return cast("int", await self._script(keys, arguments))
