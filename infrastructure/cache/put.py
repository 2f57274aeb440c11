"""Puts documents of one slot into Redis through the script that checks them."""

from collections.abc import Sequence
from typing import Final, cast

from msgspec import Struct

from application.cache.ports import Mark, Removed
from application.queries.documents import UserDocument
from infrastructure.cache.client import Client, script
from infrastructure.cache.keys import SlotKeys, user_value

# Renewed whenever a follower reads the mark: without a follower, entries expire.
MARK_SECONDS: Final = 3600


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
        seen: Mark,
        documents: Sequence[CachedDocument],
        *,
        after: int = 0,
        reached: int = 0,
    ) -> int:
        """Store documents that are not behind the slot's position, and advance it to `reached`.

        Returns the number stored: 0, without any change, in another incarnation than the seen one
        or if the position is below `after`. Raises redis-py's errors.
        """
        arguments: list[int | bytes] = [
            seen.incarnation,
            after,
            reached,
            self._ttl,
            MARK_SECONDS,
        ]
        for each in documents:
            arguments += (each.read_at, each.document.version, user_value(each.document))
        keys = [slot.mark, slot.pages, *(each.key for each in documents)]
        return cast("int", await self._script(keys, arguments))
