"""Coverage of an erasure: which stores are clean of a person, and which are not yet."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.cache.ports import MAX_TTL, CacheUnavailable, ErasingCache
from application.doorbell import Bell, Doorbell, view_bell
from application.errors import Unavailable
from application.exports.requests import Exports
from application.projector.view_store import Slot
from projections.registry import PROJECTIONS
from projections.users import USERS

# Erased by the transaction that appends `user.erased`: it deletes the claims and the data key. All
# that the key sealed, in the log, snapshots and messages, can no longer be opened.
BY_THE_APPEND: Final = ("data-key", "events", "snapshots", "messages", "claims")
CACHE: Final = "cache"
VIEWS: Final = "views"
EXPORTS: Final = "exports"

_POLL_SECONDS: Final = 0.25
# A reader that read the view before it was dropped may store a copy a moment later.
_COPIES_SECONDS: Final = MAX_TTL + 3600


class ViewGeneration(Struct, frozen=True):
    """One generation of a view: its position, and whether it serves."""

    projection: str
    generation: int
    serves: bool
    position: int

    def __str__(self) -> str:
        return f"{VIEWS}:{self.projection}/{self.generation}"


class ErasedViews(Protocol):
    """All generations of all views, for erasures."""

    async def generations(self) -> Sequence[ViewGeneration]:
        """All generations; one that no projector follows is at 0. Raises `Unavailable`."""
        ...

    async def dropped_since(self, seconds: int) -> Sequence[int]:
        """The generations of the users that were dropped in this time. Raises `Unavailable`."""
        ...

    async def finish_erasure(self, view: ViewGeneration, position: int, seconds: float) -> None:
        """Make the removal from a view durable, once the view has passed the position.

        Also renews the planner statistics of the view, which may hold samples of the person.
        Raises `Unavailable`, also if it takes longer than `seconds`.
        """
        ...


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
            clean[CACHE] = await _passed_to(self._cache, positions, views)
        if self._exports is not None:
            clean[EXPORTS] = await _no_export_to(self._exports, positions[-1])
        return [await self._covered(person, clean, views) for person in people]

    async def _covered(
        self,
        person: ErasedPerson,
        clean: Mapping[str, int],
        views: Sequence[ViewGeneration],
    ) -> Covered:
        is_clean = {store: reached >= person.position for store, reached in clean.items()}
        if self._cache is not None:
            # Last, because nothing can bring back a copy that is removed then.
            is_clean[CACHE] = all(is_clean.values()) and await self._is_forgotten(
                self._cache, person.user_id, views
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

    async def _is_forgotten(
        self, cache: ErasingCache, user_id: UUID, views: Sequence[ViewGeneration]
    ) -> bool:
        """Cached copies outlive the tables of a dropped generation, but not for long."""
        existing = {view.generation for view in views if view.projection == USERS.name}
        with suppress(CacheUnavailable, Unavailable):
            dropped = await self._views.dropped_since(_COPIES_SECONDS)
            slots = [Slot[Any](USERS, number) for number in sorted(existing.union(dropped))]
            await cache.forget(user_id, slots)
            return True
        return False


async def _no_export_to(exports: Exports, newest: int) -> int:
    """The position before which no request that may name a person is stored."""
    with suppress(Unavailable):
        oldest = await exports.oldest_naming()
        return newest if oldest is None else oldest
    return -1


async def _passed_to(
    cache: ErasingCache, positions: Sequence[int], views: Iterable[ViewGeneration]
) -> int:
    """The position up to which the cache has passed the log in all slots.

    The cache takes no document that was read before a slot's position, so no copy can come back.
    """
    reached = positions[-1]
    with suppress(CacheUnavailable):
        for view in views:
            if view.projection == USERS.name:
                reached = min(reached, await _slot_passed_to(cache, positions, view))
        return reached
    return -1


async def _slot_passed_to(
    cache: ErasingCache, positions: Sequence[int], view: ViewGeneration
) -> int:
    """A slot without a mark has no documents, and takes none that was read before its next mark.

    Ends a slot that is behind in a generation that does not serve, which may have no follower.
    """
    passed = [position for position in positions if position <= view.position]
    if not passed:
        return -1
    slot = Slot[Any](USERS, view.generation)
    mark = await cache.mark(slot)
    if mark is None or mark.position >= passed[-1]:
        return passed[-1]
    if view.serves:
        return mark.position
    await cache.end(slot)
    return passed[-1]


def _bell_of(missing: str, bells: Mapping[str, Bell]) -> Bell:
    """The bell that rings after the missing store moved; the cache rings that of the users."""
    projection = missing.removeprefix(f"{VIEWS}:").partition("/")[0]
    return bells.get(projection) or bells[USERS.name]
