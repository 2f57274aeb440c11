"""Fills a cache as followers and readers do."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from application.cache.ports import Mark, Miss, Removed, Step
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import UserDocument
from infrastructure.cache.redis_cache import RedisCache
from tests.support.doubles.cache import MemoryCache

Cache = MemoryCache | RedisCache


async def mark_of(cache: Cache, slot: Slot[Any]) -> Mark:
    """The mark of a slot that has one."""
    mark = await cache.slots.mark(slot)
    assert mark is not None
    return mark


async def position_of(cache: Cache, slot: Slot[Any]) -> int | None:
    mark = await cache.slots.mark(slot)
    return mark.position if mark else None


async def start_over(cache: Cache, slot: Slot[Any], position: int, repairs: int = 0) -> None:
    await cache.slots.begin(slot, await cache.slots.mark(slot), position, repairs)


async def move(
    cache: Cache,
    slot: Slot[Any],
    reached: int,
    users: Mapping[UUID, UserDocument | Removed] | None = None,
) -> None:
    """Advance a slot from its present mark."""
    step = Step(reached=reached, read_at=reached, users=users or {})
    await cache.slots.advance(slot, await mark_of(cache, slot), step)


async def offer_user(
    cache: Cache, slot: Slot[Any], user_id: UUID, document: UserDocument, position: int
) -> None:
    """Offer a document that was read at a position, after a miss at the present mark."""
    miss = Miss(slot, user_id, await mark_of(cache, slot))
    cache.users.offer(miss, Answer(document, position, slot.generation))
    await cache.idle()


async def cached_user(
    cache: Cache, slot: Slot[Any], user_id: UUID
) -> Answer[UserDocument | None] | None:
    """The cached answer; None after a miss."""
    found = await cache.users.look_up(slot, user_id)
    return found if isinstance(found, Answer) else None
