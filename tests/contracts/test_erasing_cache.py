"""The contract of every cache in an erasure: a slot ends, and no copy of the person stays."""

from typing import Any, Final
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.projector.view_store import Slot
from application.queries.documents import UserDocument
from infrastructure.cache.redis_cache import RedisCache
from projections.users import USERS
from tests.support.servers.redis import redis_url
from tests.support.servers.redis_admin import RedisAdmin
from tests.support.views.filling import (
    Cache,
    cached_user,
    move,
    offer_user,
    position_of,
    start_over,
)
from tests.support.views.histories import YAN, ZOE

SLOT: Final = Slot[Any](USERS)
OTHER: Final = Slot[Any](USERS, 2)


def document(version: int = 1, name: str = "Zoë") -> UserDocument:
    body = f'{{"name":"{name}"}}'.encode()
    return UserDocument(version, "active", "2024-05-06T07:08:09.123456Z", body)


async def fill(cache: Cache, position: int, *user_ids: UUID, slot: Slot[Any] = SLOT) -> None:
    await start_over(cache, slot, position)
    for user_id in user_ids:
        await offer_user(cache, slot, user_id, document(), position)


async def is_cached(cache: Cache, user_id: UUID = ZOE, slot: Slot[Any] = SLOT) -> bool:
    return await cached_user(cache, slot, user_id) is not None


async def test_a_slot_that_ends_has_nothing(cache: Cache) -> None:
    await fill(cache, 5, ZOE)
    await fill(cache, 5, ZOE, slot=OTHER)
    await cache.slots.end(SLOT)
    assert await cache.slots.mark(SLOT) is None
    assert (await is_cached(cache), await is_cached(cache, slot=OTHER)) == (False, True)
    await start_over(cache, SLOT, 5)
    assert not await is_cached(cache)


async def test_one_person_is_removed_from_the_given_slots_only(cache: Cache) -> None:
    third = Slot[Any](USERS, 3)
    for slot in (SLOT, OTHER, third):
        await fill(cache, 5, ZOE, YAN, slot=slot)
    await cache.slots.forget(ZOE, [SLOT, OTHER])
    found = {
        (slot.generation, user_id)
        for slot in (SLOT, OTHER, third)
        for user_id in (ZOE, YAN)
        if await is_cached(cache, user_id, slot)
    }
    assert found == {(1, YAN), (2, YAN), (3, YAN), (3, ZOE)}
    assert await position_of(cache, SLOT) == 5


async def test_a_later_document_of_the_same_version_replaces_the_earlier_one(cache: Cache) -> None:
    """A parked user keeps the version when erased."""
    await fill(cache, 5, ZOE)
    erased = UserDocument(1, "erased", "2024-05-06T07:08:10.123456Z", b"")
    await move(cache, SLOT, 6, {ZOE: erased})
    answer = await cached_user(cache, SLOT, ZOE)
    assert answer is not None
    assert answer.value == erased


@pytest.mark.parametrize("lost", ["restore", "position"])
async def test_in_redis_an_outdated_copy_is_removed_too(lost: str) -> None:
    """A copy from before a restore, or of a former incarnation, is in the clear until it expires."""
    with redis_url() as url:
        log_id = uuid7()
        async with (
            RedisCache.open(url, log_id, 1) as before,
            RedisCache.open(url, log_id, 2) as after,
        ):
            cache, old = (after, before) if lost == "restore" else (after, after)
            await fill(old, 5, ZOE, YAN)
            await start_over(cache, SLOT, 5)
            assert not await is_cached(cache)
            with RedisAdmin(url) as admin:
                copies = f"*.{log_id.hex[-12:]}.*:*-*"
                assert len(admin.keys(copies)) == 2
                await cache.slots.forget(ZOE, [SLOT])
                assert [key[-36:] for key in admin.keys(copies)] == [str(YAN)]
