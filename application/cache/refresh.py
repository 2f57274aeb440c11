"""Refreshes cached copies of repaired views: the position did not move, so no follower does."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Final, NoReturn
from uuid import UUID

from application.cache.documents import day_of
from application.cache.followers import document_of
from application.cache.ports import (
    ErasingCache,
    FollowingCache,
    RefreshQueue,
    StatsCache,
    Step,
    ViewEntries,
)
from application.projector.view_store import Slot
from application.queries.documents import Documents
from application.retry import BackOff
from projections.headcount import HEADCOUNT
from projections.users import USERS

_POLL_SECONDS: Final = 1.0


async def run_cache_refresh(*copies: "RefreshedUsers | RefreshedStats") -> NoReturn:
    """Refresh queued copies once a second; cancel it to stop.

    Any number of processes may run it.
    """
    back_off = BackOff("cache refresh")
    while True:
        try:
            moved = [await each.refresh() for each in copies]
        except Exception as error:
            await back_off.wait(error)
        else:
            back_off.reset()
            await asyncio.sleep(0 if any(moved) else _POLL_SECONDS)


class RefreshedUsers:
    """Refreshes cached users."""

    def __init__(
        self,
        queue: RefreshQueue,
        cache: FollowingCache,
        erasing: ErasingCache,
        views: ViewEntries,
    ) -> None:
        self._queue = queue
        self._cache = cache
        self._erasing = erasing
        self._views = views

    async def refresh(self) -> bool:
        """Refresh some users. Returns whether there may be more.

        Raises `CacheUnavailable` and `Unavailable`; the caller then retries.
        """
        refreshed = False
        waiting = defaultdict[Slot[Any], dict[int, UUID]](dict)
        for number, (slot, stream) in (await self._queue.pending(USERS.name)).items():
            waiting[slot][number] = stream
        for slot, streams in waiting.items():
            if await self._send(slot, set(streams.values())):
                await self._queue.mark_refreshed(streams.keys())
                refreshed = True
        return refreshed

    async def _send(self, slot: Slot[Any], streams: Collection[UUID]) -> bool:
        """Send views to the cache. Returns False if the cache is already ahead of them."""
        for stream in streams:
            # The wrong copy may have a higher version, or its view may be removed.
            await self._erasing.forget(stream, [slot])
        view = await self._views.entries(slot, streams)
        users = {stream: document_of(entry) for stream, entry in view.entries.items()}
        step = Step(after=0, reached=0, read_at=view.position, users=users)
        await self._cache.advance(slot, step)
        position = await self._cache.position(slot)
        return position is None or position <= view.position


class RefreshedStats:
    """Refreshes the cached statistics of the day."""

    def __init__(
        self,
        queue: RefreshQueue,
        cache: StatsCache,
        views: Documents,
        now: Callable[[], datetime],
    ) -> None:
        self._queue = queue
        self._cache = cache
        self._views = views
        self._now = now

    async def refresh(self) -> bool:
        """See `RefreshedUsers.refresh`."""
        waiting = await self._queue.pending(HEADCOUNT.name)
        if waiting:
            now = self._now()
            document = await self._views.stats(now)
            slot = Slot(HEADCOUNT, document.generation)
            await self._cache.replace(slot, day_of(now), document)
            await self._queue.mark_refreshed(waiting.keys())
        return bool(waiting)
