"""How far the views and the cache are with an erasure: what is surely clean, and what is not yet."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.cache.ports import CacheAway, ErasingCache
from application.doorbell import Bell, Doorbell, view_bell
from application.errors import Unavailable
from application.exports.requests import PendingExports
from application.projector.view_store import Slot
from projections.registry import PROJECTIONS
from projections.users import USERS

# What the append of `user.erased` did in its one transaction: the key went, and with it whatever is
# sealed by it, in the log, in snapshots and in messages, wherever they lie; so did the claims.
BY_THE_APPEND: Final = ("data-key", "events", "snapshots", "messages", "claims")
CACHE: Final = "cache"
VIEWS: Final = "views"
EXPORTS: Final = "exports"

_POLL_SECONDS: Final = 0.25


class ViewGeneration(Struct, frozen=True):
    """One build of a view; `positions` is how far each partition is, `serves` whether it is asked."""

    projection: str
    generation: int
    serves: bool
    positions: Mapping[int, int]

    @property
    def position(self) -> int:
        """What every stream's view has reached."""
        return min(self.positions.values())

    def __str__(self) -> str:
        return f"{VIEWS}:{self.projection}/{self.generation}"


class ErasedViews(Protocol):
    """All builds of all views, for who must know that a person is in none of them."""

    async def generations(self) -> Sequence[ViewGeneration]:
        """Every build there is; one that nobody projects is at 0. Raises `Unavailable`."""
        ...

    async def settle(self, view: ViewGeneration, position: int, seconds: float) -> None:
        """Make what the view shows at a position it has passed durable, and forget all before.

        The store keeps samples of a view to plan its queries by; they are taken anew. Raises
        `Unavailable`, also where it takes longer than `seconds`.
        """
        ...


class Covered(Struct, frozen=True):
    """What is clean of a person, and what is not known to be so yet; both in words of the docs."""

    covers: tuple[str, ...]
    missing: tuple[str, ...]


class Coverage:
    """Looks after what the followers do by themselves; all it removes itself are cached copies.

    An export's filters may name a person; from before the erasure none may be left.
    """

    def __init__(
        self,
        views: ErasedViews,
        cache: ErasingCache | None,
        doorbell: Doorbell,
        exports: PendingExports | None = None,
    ) -> None:
        self._views = views
        self._cache = cache
        self._doorbell = doorbell
        self._exports = exports

    async def reached(
        self,
        user_id: UUID,
        position: int,
        seconds: float,
        *,
        settling: float = 0.0,
        report: Callable[[int, int], Awaitable[None]] | None = None,
    ) -> Covered:
        """How far all are with the erasure at a position, once they have passed it or time is up.

        What then settles a view may take up to `settling` seconds, or the rest of the time.
        `report` is told how many of how many are clean. A server that is away is waited for.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        async with AsyncExitStack() as stack:
            bells: dict[str, Bell] = {}
            for projection in PROJECTIONS:
                bell = self._doorbell.listen(view_bell(projection.name))
                bells[projection.name] = await stack.enter_async_context(bell)
            while True:
                settle_within = max(deadline - loop.time(), settling, _POLL_SECONDS)
                covered = await self._look(user_id, position, settle_within)
                if report is not None:
                    done = len(covered.covers)
                    await report(done, done + len(covered.missing))
                left = deadline - loop.time()
                if not covered.missing or left <= 0:
                    return covered
                await _bell_of(covered.missing[0], bells).wait(min(left, _POLL_SECONDS))

    async def _look(self, user_id: UUID, position: int, settle_within: float) -> Covered:
        cleared = list[str](BY_THE_APPEND)
        missing = list[str]()
        try:
            generations = await self._views.generations()
        except Unavailable:
            return Covered(tuple(cleared), (VIEWS,))
        known = {view.projection for view in generations}
        missing += [f"{VIEWS}:{each.name}" for each in PROJECTIONS if each.name not in known]
        for view in generations:
            clear = await self._settled(view, position, settle_within)
            (cleared if clear else missing).append(str(view))
        if self._cache is not None:
            clear = await self._forgotten(self._cache, user_id, position, generations)
            (cleared if clear else missing).append(CACHE)
        if self._exports is not None:
            clear = await _nothing_asked(self._exports, position)
            (cleared if clear else missing).append(EXPORTS)
        return Covered(tuple(cleared), tuple(missing))

    async def _settled(self, view: ViewGeneration, position: int, seconds: float) -> bool:
        if view.position < position:
            return False
        try:
            await self._views.settle(view, position, seconds)
        except Unavailable:
            return False
        return True

    async def _forgotten(
        self,
        cache: ErasingCache,
        user_id: UUID,
        position: int,
        generations: Iterable[ViewGeneration],
    ) -> bool:
        """Whether the cache has passed the erasure in all slots, and its copies were removed.

        What is read before a slot's position is never kept, so no copy can come back.
        """
        users = [view for view in generations if view.projection == USERS.name]
        try:
            passed = [await _passed(cache, view, position) for view in users]
            if not all(passed):
                return False
            await cache.forget(user_id, _every_slot(users))
        except CacheAway:
            return False
        return True


async def _nothing_asked(exports: PendingExports, position: int) -> bool:
    try:
        return not await exports.asked_before(position)
    except Unavailable:
        return False


async def _passed(cache: ErasingCache, view: ViewGeneration, position: int) -> bool:
    """Whether the cache of one build of the users is beyond a position.

    One that has lost its position has lost all documents; of one that is not asked nobody may be
    the follower. Neither is waited for: it begins again where the view is.
    """
    if view.position < position:
        return False
    for partition, reached in view.positions.items():
        slot = Slot[Any](USERS, view.generation, partition)
        at = await cache.position(slot)
        if at is None or (at < position and not view.serves):
            await cache.begin_again(slot, reached)
        elif at < position:
            return False
    return True


def _every_slot(users: Sequence[ViewGeneration]) -> list[Slot[Any]]:
    """The slots of these builds and of all that were before: their copies outlive their tables."""
    newest = max((view.generation for view in users), default=0)
    partitions = {partition for view in users for partition in view.positions}
    return [
        Slot[Any](USERS, generation, partition)
        for generation in range(1, newest + 1)
        for partition in partitions
    ]


def _bell_of(missing: str, bells: Mapping[str, Bell]) -> Bell:
    """The bell that rings when what is missing may have moved; the cache rings that of the users."""
    projection = missing.removeprefix(f"{VIEWS}:").partition("/")[0]
    return bells.get(projection) or bells[USERS.name]
