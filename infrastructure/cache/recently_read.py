"""The users whose documents are in the cache, so that another slot can be filled in advance."""

from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from application.projector.view_store import Slot
from infrastructure.cache.client import Client, answered_within
from infrastructure.cache.keys import Keys

# SCAN visits all keys of the server, this many per call, and other commands run in between.
_COUNT: Final = 1000
_TIMEOUT_SECONDS: Final = 5.0


class RedisRecentlyRead:
    """See `RecentlyRead`. The scan must end within 5 s."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def users(self, slot: Slot[Any], limit: int) -> Collection[UUID]:
        """See `RecentlyRead.users`."""
        found: set[UUID] = set()
        async with answered_within(_TIMEOUT_SECONDS):
            async for key in self._client.scan_iter(self._keys.of(slot, "*"), _COUNT):
                with suppress(ValueError):
                    # The position and the pages are no documents.
                    found.add(UUID(key.decode().rpartition(":")[2]))
                if len(found) >= limit:
                    break
        return found
