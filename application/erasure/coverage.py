"""Coverage of an erasure: which stores are clean of a person, and which are not yet."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.cache.ports import CacheUnavailable, ErasingCache
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


class Coverage:
    """Checks what the followers remove; it removes only cached copies itself.

    The filters of an export may name a person, so no export requested before the erasure may be
    pending.
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

    async def wait_until_clean(
        self,
        user_id: UUID,
        position: int,
        seconds: float,
        *,
        finish_seconds: float = 0.0,
        report: Callable[[int, int], Awaitable[None]] | None = None,
    ) -> Covered:
        """Wait up to `seconds` until all stores have passed the erasure at a position.

        `finish_erasure` of a view may take up to `finish_seconds`, or the rest of the time.
        `report` gets the number of clean stores and of all. Waits for a server that is away.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        async with AsyncExitStack() as stack:
            bells: dict[str, Bell] = {}
            for projection in PROJECTIONS:
                bell = self._doorbell.listen(view_bell(projection.name))
                bells[projection.name] = await stack.enter_async_context(bell)
            while True:
                finish_within = max(deadline - loop.time(), finish_seconds, _POLL_SECONDS)
                covered = await self._check(user_id, position, finish_within)
                if report is not None:
                    done = len(covered.covers)
                    await report(done, done + len(covered.missing))
                left = deadline - loop.time()
                if not covered.missing or left <= 0:
                    return covered
                await _bell_of(covered.missing[0], bells).wait(min(left, _POLL_SECONDS))

    async def _check(self, user_id: UUID, position: int, finish_within: float) -> Covered:
        try:
            views = await self._views.generations()
        except Unavailable:
            return Covered(BY_THE_APPEND, (VIEWS,))
        known = {view.projection for view in views}
        clean = {f"{VIEWS}:{each.name}": False for each in PROJECTIONS if each.name not in known}
        for view in views:
            clean[str(view)] = await self._is_finished(view, position, finish_within)
        if self._cache is not None:
            clean[CACHE] = await self._is_forgotten(self._cache, user_id, position, views)
        if self._exports is not None:
            clean[EXPORTS] = await _no_export_before(self._exports, position)
        return Covered(
            (*BY_THE_APPEND, *(store for store in clean if clean[store])),
            tuple(store for store in clean if not clean[store]),
        )

    async def _is_finished(self, view: ViewGeneration, position: int, seconds: float) -> bool:
        if view.position >= position:
            with suppress(Unavailable):
                await self._views.finish_erasure(view, position, seconds)
                return True
        return False

    async def _is_forgotten(
        self, cache: ErasingCache, user_id: UUID, position: int, views: Iterable[ViewGeneration]
    ) -> bool:
        """Whether the cache has passed the erasure in all slots, and its copies are removed.

        The cache takes no document read before a slot's position, so no copy can come back.
        """
        users = [view for view in views if view.projection == USERS.name]
        with suppress(CacheUnavailable):
            if all([await _has_passed(cache, view, position) for view in users]):
                await cache.forget(user_id, _all_slots(users))
                return True
        return False


async def _no_export_before(exports: Exports, position: int) -> bool:
    with suppress(Unavailable):
        return not await exports.any_before(position)
    return False


async def _has_passed(cache: ErasingCache, view: ViewGeneration, position: int) -> bool:
    """Whether the cache of one generation of the users has passed a position.

    A slot without a mark has no documents, and takes none that was read before its next mark. Ends
    a slot that is behind in a generation that does not serve, which may have no follower.
    """
    if view.position < position:
        return False
    slot = Slot[Any](USERS, view.generation)
    mark = await cache.mark(slot)
    if mark is None or mark.position >= position:
        return True
    if not view.serves:
        await cache.end(slot)
    return not view.serves


def _all_slots(users: Sequence[ViewGeneration]) -> list[Slot[Any]]:
    """The slots of all generations up to the newest: cached copies outlive dropped tables."""
    newest = max((view.generation for view in users), default=0)
    return [Slot[Any](USERS, generation) for generation in range(1, newest + 1)]


def _bell_of(missing: str, bells: Mapping[str, Bell]) -> Bell:
    """The bell that rings after the missing store moved; the cache rings that of the users."""
    projection = missing.removeprefix(f"{VIEWS}:").partition("/")[0]
    return bells.get(projection) or bells[USERS.name]
