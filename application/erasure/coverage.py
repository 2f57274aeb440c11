"""Coverage of an erasure: which stores are clean of a person, and which are not yet."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from application.cache.ports import MAX_TTL, ErasingCache
from application.doorbell import Bell, Doorbell, view_bell
from application.erasure.cached_copies import is_forgotten, passed_to
from application.erasure.erased_views import VIEWS, ErasedViews, ViewGeneration
from application.errors import Unavailable
from application.exports.requests import Exports
from application.projector.view_store import Slot
from projections.registry import PROJECTIONS
from projections.users import USERS

# Erased by the transaction that appends `user.erased`: it deletes the claims and the data key. All
# that the key sealed, in the log, snapshots and messages, can no longer be opened.
BY_THE_APPEND: Final = ("data-key", "events", "snapshots", "messages", "claims")
CACHE: Final = "cache"
EXPORTS: Final = "exports"

_POLL_SECONDS: Final = 0.25
# A reader that read the view before it was dropped may store a copy a moment later.
_COPIES_SECONDS: Final = MAX_TTL + 3600


class Covered(Struct, frozen=True):
    """The stores that are clean of a person, and those not known to be; named as in the docs."""

    covers: tuple[str, ...]
    missing: tuple[str, ...]


class ErasedPerson(Struct, frozen=True):
    """A person, and the position of the event `user.erased`."""

    user_id: UUID
    position: int


class Coverage:
    """Checks what the followers remove; it removes only cached copies itself.

    The filters of an export may name a person, so no export requested before the erasure whose
    filters may do so may be pending.
    """

    def __init__(
        self,
        views: ErasedViews,
        cache: ErasingCache | None,
        doorbell: Doorbell,
        exports: Exports | None = None,
    ) -> None:
        self._views = views
        self._cache = cache
        self._doorbell = doorbell
        self._exports = exports

    async def wait_until_clean(self, user_id: UUID, position: int, seconds: float) -> Covered:
        """Wait up to `seconds` until all stores have passed the erasure at a position."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        people = [ErasedPerson(user_id, position)]
        async with AsyncExitStack() as stack:
            bells: dict[str, Bell] = {}
            for projection in PROJECTIONS:
                bell = self._doorbell.listen(view_bell(projection.name))
                bells[projection.name] = await stack.enter_async_context(bell)
            while True:
                (covered,) = await self.check(people, max(deadline - loop.time(), _POLL_SECONDS))
                left = deadline - loop.time()
                if not covered.missing or left <= 0:
                    return covered
                await _bell_of(covered.missing[0], bells).wait(min(left, _POLL_SECONDS))

    async def check(
        self, people: Sequence[ErasedPerson], finish_seconds: float
    ) -> Sequence[Covered]:
        """Look once at all stores, for all of these people; a server that is away is not clean.

        `finish_erasure` of a view may take up to `finish_seconds`.
        """
        try:
            views = await self._views.generations()
        except Unavailable:
            return [Covered(BY_THE_APPEND, (VIEWS,)) for _ in people]
        positions = sorted({person.position for person in people})
        known = {view.projection for view in views}
        # The position up to which each store is clean.
        clean = {f"{VIEWS}:{each.name}": -1 for each in PROJECTIONS if each.name not in known}
        for view in views:
            clean[str(view)] = await self._finished_to(view, positions, finish_seconds)
        if self._cache is not None:
            clean[CACHE] = await passed_to(self._cache, positions, views)
        if self._exports is not None:
            clean[EXPORTS] = await _no_export_to(self._exports, positions[-1])
        slots = await self._cached_slots(views)
        return [await self._covered(person, clean, slots) for person in people]

    async def _covered(
        self,
        person: ErasedPerson,
        clean: Mapping[str, int],
        slots: Sequence[Slot[Any]] | None,
    ) -> Covered:
        is_clean = {store: reached >= person.position for store, reached in clean.items()}
        if self._cache is not None:
            # Last, because nothing can bring back a copy that is removed then.
            is_clean[CACHE] = (
                slots is not None
                and all(is_clean.values())
                and await is_forgotten(self._cache, person.user_id, slots)
            )
        return Covered(
            (*BY_THE_APPEND, *(store for store in is_clean if is_clean[store])),
            tuple(store for store in is_clean if not is_clean[store]),
        )

    async def _finished_to(
        self, view: ViewGeneration, positions: Sequence[int], seconds: float
    ) -> int:
        """The position up to which a view is clean, as far as these positions need it."""
        passed = [position for position in positions if position <= view.position]
        if passed:
            with suppress(Unavailable):
                await self._views.finish_erasure(view, passed[-1], seconds)
                return passed[-1]
        return -1

    async def _cached_slots(self, views: Sequence[ViewGeneration]) -> Sequence[Slot[Any]] | None:
        """Where cached copies may be: they outlive the tables of a dropped generation, but not for
        long. None if that is not known now.
        """
        if self._cache is None:
            return None
        existing = {view.generation for view in views if view.projection == USERS.name}
        with suppress(Unavailable):
            dropped = await self._views.dropped_since(_COPIES_SECONDS)
            return [Slot[Any](USERS, number) for number in sorted(existing.union(dropped))]
        return None


async def _no_export_to(exports: Exports, newest: int) -> int:
    """The position before which no request that may name a person is stored."""
    with suppress(Unavailable):
        oldest = await exports.oldest_naming()
        return newest if oldest is None else oldest
    return -1


def _bell_of(missing: str, bells: Mapping[str, Bell]) -> Bell:
    """The bell that rings after the missing store moved; the cache rings that of the users."""
    projection = missing.removeprefix(f"{VIEWS}:").partition("/")[0]
    return bells.get(projection) or bells[USERS.name]
