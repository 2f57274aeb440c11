"""Replaces cached copies of views that were mended: their position did not move, so nobody else does."""

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

_LOOK_SECONDS: Final = 1.0


async def keep_replacing(*copies: "RefreshedUsers | RefreshedStats") -> NoReturn:
    """Look once a second for what was mended; cancel it to stop.

    One process that does so is enough; more of them do no harm.
    """
    back_off = BackOff("mended copies")
    while True:
        try:
            moved = [await each.replace() for each in copies]
        except Exception as error:
            await back_off.wait(error)
        else:
            back_off.reset()
            await asyncio.sleep(0 if any(moved) else _LOOK_SECONDS)


class RefreshedUsers:
    """The copies of users."""

    def __init__(
        self,
        mended: RefreshQueue,
        cache: FollowingCache,
        former: ErasingCache,
        views: ViewEntries,
    ) -> None:
        self._mended = mended
        self._cache = cache
        self._former = former
        self._views = views

    async def replace(self) -> bool:
        """Replace some; whether there may be more.

        Raises `CacheAway` and `Unavailable`, after which it is done again.
        """
        replaced = False
        waiting = defaultdict[Slot[Any], dict[int, UUID]](dict)
        for number, (slot, stream) in (await self._mended.waiting(USERS.name)).items():
            waiting[slot][number] = stream
        for slot, streams in waiting.items():
            if await self._sent(slot, set(streams.values())):
                await self._mended.replaced(streams.keys())
                replaced = True
        return replaced

    async def _sent(self, slot: Slot[Any], streams: Collection[UUID]) -> bool:
        """Whether the cache took the views: it does not where it has come beyond them meanwhile."""
        for stream in streams:
            # What was wrong may have had a higher version, or may be there no more.
            await self._former.forget(stream, [slot])
        view = await self._views.entries(slot, streams)
        users = {stream: document_of(entry) for stream, entry in view.entries.items()}
        step = Step(after=0, reached=0, read_at=view.position, users=users)
        await self._cache.advance(slot, step)
        position = await self._cache.position(slot)
        return position is None or position <= view.position


class RefreshedStats:
    """The copy of the statistics of the day."""

    def __init__(
        self,
        mended: RefreshQueue,
        cache: StatsCache,
        views: Documents,
        now: Callable[[], datetime],
    ) -> None:
        self._mended = mended
        self._cache = cache
        self._views = views
        self._now = now

    async def replace(self) -> bool:
        """See `RefreshedUsers.replace`."""
        waiting = await self._mended.waiting(HEADCOUNT.name)
        if waiting:
            now = self._now()
            document = await self._views.stats(now)
            slot = Slot(HEADCOUNT, document.generation)
            await self._cache.replace(slot, day_of(now), document)
            await self._mended.replaced(waiting.keys())
        return bool(waiting)
