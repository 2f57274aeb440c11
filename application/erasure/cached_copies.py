"""Cached copies of an erased person: how far the cache has passed the log, and their removal."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from application.cache.ports import CacheUnavailable, ErasingCache
from application.erasure.erased_views import ViewGeneration
from application.projector.view_store import Slot
from projections.users import USERS


async def passed_to(
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


async def is_forgotten(cache: ErasingCache, user_id: UUID, slots: Sequence[Slot[Any]]) -> bool:
    """Remove the copies of a user from these slots; False if the cache does not answer."""
    with suppress(CacheUnavailable):
        await cache.forget(user_id, slots)
        return True
    return False
