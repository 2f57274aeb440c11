"""Fills the cache of a new generation with whoever is in that of the old, before readers come to it."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final
from uuid import UUID

from structlog import get_logger

from application.cache.followers import document_of
from application.cache.ports import CacheAway, FollowingCache, RecentlyRead, Step, ViewEntries
from application.failures import describe
from application.projector.generations import FollowedSlots
from application.projector.view_store import Slot
from projections.users import USERS

# The others are read from the view when they are asked for first, in one round trip.
_MAX_USERS: Final = 20_000
_STEP_USERS: Final = 500

log = get_logger(__name__)


class CacheWarming:
    """A cache is not needed: where it is away the switch does not wait for it."""

    def __init__(
        self,
        slots: FollowedSlots,
        hot: RecentlyRead,
        cache: FollowingCache,
        views: ViewEntries,
    ) -> None:
        self._slots = slots
        self._hot = hot
        self._cache = cache
        self._views = views

    async def warm(self, projection: str, old: int, new: int) -> None:
        """Copy hot views from one generation to another. Raises `Unavailable`."""
        if projection != USERS.name:
            return
        mine = [each for each in await self._slots.followed() if each.projection.name == projection]
        users: set[UUID] = set()
        try:
            for slot in mine:
                if slot.generation == old:
                    users |= set(await self._hot.hot(slot, _MAX_USERS))
            for slot in mine:
                if slot.generation == new:
                    await self._fill(slot, [user for user in users if slot.holds(user)])
        except CacheAway as error:
            log.warning("cache_not_warmed", projection=projection, error=describe(error))

    async def _fill(self, slot: Slot[Any], users: Sequence[UUID]) -> None:
        rest = iter(users)
        while step := list(islice(rest, _STEP_USERS)):
            view = await self._views.entries(slot, step)
            # There may be no follower that has begun yet; where there is, this changes nothing.
            await self._cache.begin(slot, view.position)
            documents = {stream: document_of(entry) for stream, entry in view.entries.items()}
            await self._cache.advance(
                slot, Step(after=0, reached=0, read_at=view.position, users=documents)
            )
