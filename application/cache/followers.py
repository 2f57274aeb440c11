"""Followers that keep the cache up to date: they send changed documents, then the position."""

import asyncio
from typing import Any, Final, NoReturn
from uuid import UUID

from application.cache.ports import (
    ChangedStreams,
    ChangeFeed,
    FollowingCache,
    Removed,
    Step,
    ViewEntries,
)
from application.doorbell import Doorbell, view_bell
from application.log.follower import POLL_SECONDS
from application.projector.view_store import Entry, Slot
from application.queries.documents import UserDocument
from application.retry import BackOff
from projections.users import USERS, UserRow

STEP_EVENTS: Final = 500
# Under load several pages of a view become one step; a reader that cannot wait asks the view.
_PAUSE_SECONDS: Final = 0.05
# After each step of the statistics a reader counts them again.
_STATS_PAUSE_SECONDS: Final = 0.25


async def follow_view(
    slot: Slot[Any],
    cache: FollowingCache,
    changes: ChangeFeed,
    views: ViewEntries,
    doorbell: Doorbell,
) -> NoReturn:
    """Keep the cache of one slot up to date; cancel it to stop.

    Any number of processes may follow the same slot.
    """
    follower = CacheFollower(slot, cache, changes, views)
    back_off, bell_name = BackOff(f"cache of {slot}"), view_bell(slot.projection.name)
    async with doorbell.listen(bell_name) as bell:
        while True:
            try:
                moved = await follower.step()
            except Exception as error:
                await back_off.wait(error)
                continue
            back_off.reset()
            if moved:
                doorbell.ring(bell_name)
                await asyncio.sleep(follower.pause)
                # Consume the ring above, and all earlier ones: the next step reads the view anyway.
                await bell.wait(0)
            else:
                await bell.wait(POLL_SECONDS)


class CacheFollower:
    """Follows one slot. Its state is in the cache, so it may start at any time.

    Of the users it sends each changed document. Of another view it sends only the position, which
    drops the pages; readers then fill the cache again.
    """

    def __init__(
        self, slot: Slot[Any], cache: FollowingCache, changes: ChangeFeed, views: ViewEntries
    ) -> None:
        is_users = slot.projection.name == USERS.name
        self._slot = slot
        self._cache = cache
        self._changes = changes if is_users else None
        self._views = views
        self.pause = _PAUSE_SECONDS if is_users else _STATS_PAUSE_SECONDS

    async def step(self) -> bool:
        """Send the next changes to the cache. Returns whether there were any.

        Raises `CacheUnavailable` and `Unavailable`.
        """
        # Read in this order: the view then includes the changes up to its position, and a number
        # of repairs other than the mark's shows that the mark is out of date.
        mark = await self._cache.mark(self._slot)
        changed = None
        if mark is not None and self._changes is not None:
            changed = await self._changes.changed(mark.position, STEP_EVENTS)
        view = await self._views.entries(self._slot, self._own(changed))
        if mark is None or mark.repairs != view.repairs:
            await self._cache.begin(self._slot, mark, view.position, view.repairs)
            return True
        reached = min(changed.reached, view.position) if changed else view.position
        if reached <= mark.position:
            return False
        users = {stream: document_of(entry) for stream, entry in view.entries.items()}
        step = Step(reached=reached, read_at=view.position, users=users)
        await self._cache.advance(self._slot, mark, step)
        return True

    def _own(self, changed: ChangedStreams | None) -> set[UUID]:
        """The changed streams that belong to the slot."""
        kinds = self._slot.projection.kinds
        streams = changed.streams if changed else ()
        return {stream for kind, stream in streams if kind in kinds}


def document_of(entry: Entry[UserRow]) -> UserDocument | Removed:
    """The cached form of an entry."""
    return Removed(entry.version) if entry.view is None else UserDocument.of(entry.view)
