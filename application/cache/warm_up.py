"""Copies the recently read users to the cache of a new generation before it serves."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final
from uuid import UUID

from structlog import get_logger

from application.cache.followers import document_of
from application.cache.ports import (
    CacheUnavailable,
    FollowingCache,
    RecentlyRead,
    Step,
    ViewEntries,
)
from application.failures import describe
from application.projector.generations import FollowedSlots
from application.projector.view_store import Slot
from projections.users import USERS

# All other users are read from the view at their first request, in one round trip.
_MAX_USERS: Final = 20_000
_STEP_USERS: Final = 500

log = get_logger(__name__)


class CacheWarming:
    """Warms the cache before a switch; the switch does not wait for an unavailable cache."""

    def __init__(
        self,
        slots: FollowedSlots,
        recently_read: RecentlyRead,
        cache: FollowingCache,
        views: ViewEntries,
    ) -> None:
        self._slots = slots
        self._recently_read = recently_read
        self._cache = cache
        self._views = views

    async def warm(self, projection: str, old: int, new: int) -> None:
        """Copy recently read users from one generation to another. Raises `Unavailable`."""
        if projection != USERS.name:
            return
        mine = [each for each in await self._slots.followed() if each.projection.name == projection]
        users: set[UUID] = set()
        try:
            for slot in mine:
                if slot.generation == old:
                    users |= set(await self._recently_read.users(slot, _MAX_USERS))
            for slot in mine:
                if slot.generation == new:
                    await self._fill(slot, [user for user in users if slot.holds(user)])
        except CacheUnavailable as error:
            log.warning("cache_not_warmed", projection=projection, error=describe(error))

    async def _fill(self, slot: Slot[Any], users: Sequence[UUID]) -> None:
        rest = iter(users)
        while step := list(islice(rest, _STEP_USERS)):
            view = await self._views.entries(slot, step)
            # Changes nothing if a follower has begun already.
            await self._cache.begin(slot, view.position)
            documents = {stream: document_of(entry) for stream, entry in view.entries.items()}
            await self._cache.advance(
                slot, Step(after=0, reached=0, read_at=view.position, users=documents)
            )
