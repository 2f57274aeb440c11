"""Puts documents of one slot into Redis by the one script that guards them."""

from collections.abc import Sequence
from typing import Final, cast

from msgspec import Struct

from application.cache.ports import Removed
from application.queries.documents import UserDocument
from infrastructure.cache.client import Client, script
from infrastructure.cache.keys import SlotKeys, user_value

# Renewed at each look of a follower: without any, nothing stays for good.
POSITION_SECONDS: Final = 3600


class CachedDocument(Struct, frozen=True):
    """A document as it was at a position."""

    key: str
    read_at: int
    document: UserDocument | Removed


class CachePut:
    """`put.lua` with its arguments in order; documents live for `ttl` seconds."""

    def __init__(self, client: Client, ttl: int) -> None:
        self._script = script(client, "put")
        self._ttl = ttl

    async def keep(
        self,
        slot: SlotKeys,
        documents: Sequence[CachedDocument],
        *,
        after: int = 0,
        reached: int = 0,
        mended: bool = False,
    ) -> int:
        """Keep what fits the slot's position, and move that from `after` on up to `reached`.

        How many were kept. Pages go where the position moves, and where the documents were
        `mended`: changed by no event. Raises redis-py's errors.
        """
        arguments: list[int | bytes] = [after, reached, self._ttl, POSITION_SECONDS, int(mended)]
        for kept in documents:
            arguments += (kept.read_at, kept.document.version, user_value(kept.document))
        keys = [slot.position, slot.pages, *(kept.key for kept in documents)]
        return cast("int", await self._script(keys, arguments))
