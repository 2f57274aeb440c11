"""Whose documents the cache has: for whoever fills another slot before readers come to it."""

from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from application.projector.view_store import Slot
from infrastructure.cache.client import Client, answered_within
from infrastructure.cache.keys import Keys

# The server looks at all of its keys, so many at a time, and answers others in between.
_COUNT: Final = 1000
_TIMEOUT_SECONDS: Final = 5.0


class RedisRecentlyRead:
    """See `RecentlyRead`. What is not found in time is left out."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def hot(self, slot: Slot[Any], most: int) -> Collection[UUID]:
        """See `RecentlyRead.hot`."""
        found: set[UUID] = set()
        async with answered_within(_TIMEOUT_SECONDS):
            async for key in self._client.scan_iter(self._keys.of(slot, "*"), _COUNT):
                with suppress(ValueError):
                    # The position and the pages lie among the documents.
                    found.add(UUID(key.decode().rpartition(":")[2]))
                if len(found) >= most:
                    break
        return found
