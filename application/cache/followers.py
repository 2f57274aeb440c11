"""Followers that keep the cache up to date: they send changed documents, then the position."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Final, NoReturn

from application.cache.documents import day_of
from application.cache.ports import (
    ChangeFeed,
    FollowingCache,
    Removed,
    StatsCache,
    Step,
    ViewEntries,
)
from application.doorbell import Doorbell, view_bell
from application.log.follower import POLL_SECONDS
from application.projector.view_store import Entry, Slot
from application.queries.documents import Documents, UserDocument
from application.retry import BackOff
from projections.headcount import HEADCOUNT
from projections.users import USERS, UserRow

STEP_EVENTS: Final = 500
# Under load several pages of a view become one step; a reader that cannot wait asks the view. Each
# step of the statistics counts them again.
_PAUSE_SECONDS: Final = 0.05
_STATS_PAUSE_SECONDS: Final = 0.25


async def run_user_cache(
    slots: Iterable[Slot[Any]],
    cache: FollowingCache,
    changes: ChangeFeed,
    views: ViewEntries,
    doorbell: Doorbell,
) -> None:
    """Keep the cache of the users up to date; cancel it to stop."""
    async with asyncio.TaskGroup() as group:
        for slot in slots:
            if slot.projection.name == USERS.name:
                group.create_task(follow_users(slot, cache, changes, views, doorbell))


async def follow_users(
    slot: Slot[Any],
    cache: FollowingCache,
    changes: ChangeFeed,
    views: ViewEntries,
    doorbell: Doorbell,
) -> None:
    """Keep the cache of one slot of the users up to date; cancel it to stop.

    Any number of processes may follow the same slot.
    """
    follower = UserCacheFollower(slot, cache, changes, views)
    await _follow(f"cache of {slot}", follower.step, USERS.name, doorbell)


async def run_stats_cache(
    cache: StatsCache, views: Documents, doorbell: Doorbell, now: Callable[[], datetime]
) -> NoReturn:
    """Keep the statistics of the day up to date; cancel it to stop."""
    follower = StatsCacheFollower(cache, views, now)
    pause = _STATS_PAUSE_SECONDS
    await _follow("cache of stats", follower.step, HEADCOUNT.name, doorbell, pause=pause)


class UserCacheFollower:
    """Follows one slot of the users. Its state is in the cache, so it may start at any time."""

    def __init__(
        self,
        slot: Slot[UserRow],
        cache: FollowingCache,
        changes: ChangeFeed,
        views: ViewEntries,
    ) -> None:
        self._slot = slot
        self._cache = cache
        self._changes = changes
        self._views = views

    async def step(self) -> bool:
        """Send the next changes to the cache. Returns whether there were any.

        Raises `CacheUnavailable` and `Unavailable`.
        """
        position = await self._cache.position(self._slot)
        if position is None:
            view = await self._views.entries(self._slot, ())
            await self._cache.begin(self._slot, view.position)
            return True
        changed = await self._changes.changed(position, STEP_EVENTS)
        if changed.reached <= position:
            return False
        kinds, holds = self._slot.projection.kinds, self._slot.holds
        mine = {stream for kind, stream in changed.streams if kind in kinds and holds(stream)}
        # Read after the changes, so that the view includes them up to its position.
        view = await self._views.entries(self._slot, mine)
        reached = min(changed.reached, view.position)
        if reached <= position:
            return False
        step = Step(
            after=position,
            reached=reached,
            read_at=view.position,
            users={stream: document_of(entry) for stream, entry in view.entries.items()},
        )
        await self._cache.advance(self._slot, step)
        return True


class StatsCacheFollower:
    """Follows the headcount: one document, rendered again when the view moved."""

    def __init__(self, cache: StatsCache, views: Documents, now: Callable[[], datetime]) -> None:
        self._cache = cache
        self._views = views
        self._now = now
        self._sent: tuple[str, int, int] | None = None

    async def step(self) -> bool:
        """Send the statistics if the view moved. Returns whether it did. Raises `Unavailable`."""
        now = self._now()
        document = await self._views.stats(now)
        this = (day_of(now), document.generation, document.position)
        if this == self._sent:
            return False
        slot = Slot(HEADCOUNT, document.generation)
        self._cache.offer(slot, day_of(now), document)
        self._sent = this
        return True


def document_of(entry: Entry[UserRow]) -> UserDocument | Removed:
    """The cached form of an entry."""
    return Removed(entry.version) if entry.view is None else UserDocument.of(entry.view)


async def _follow(
    name: str,
    step: Callable[[], Awaitable[bool]],
    view: str,
    doorbell: Doorbell,
    *,
    pause: float = _PAUSE_SECONDS,
) -> NoReturn:
    """Take steps while there are changes, then wait for the view; retries after any error."""
    back_off = BackOff(name)
    async with doorbell.listen(view_bell(view)) as bell:
        while True:
            try:
                moved = await step()
            except Exception as error:
                await back_off.wait(error)
                continue
            back_off.reset()
            if moved:
                doorbell.ring(view_bell(view))
                await asyncio.sleep(pause)
                # Consume the ring above, and all earlier ones: the next step reads the feed anyway.
                await bell.wait(0)
            else:
                await bell.wait(POLL_SECONDS)
