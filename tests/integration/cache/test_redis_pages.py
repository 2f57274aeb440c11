"""List pages on a real server: their format and limits, and that outdated ones are removed."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.cache.ports import Miss
from application.projector.view_store import Slot
from application.queries.directory import Answer, UserList
from infrastructure.cache import pages
from infrastructure.cache.keys import FORMAT
from infrastructure.cache.redis_cache import RedisCache
from projections.users import USERS
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.redis_admin import RedisAdmin
from tests.support.views.filling import mark_of, move, start_over
from tests.support.views.histories import ZOE

LOG_ID: Final = UUID("018f0000-0000-7000-8000-0123456789ab")
SLOT: Final = Slot[Any](USERS)
PAGES: Final = f"rb{FORMAT}:{{main.0123456789ab.3.users.1.0}}:pages"
POSITION: Final = PAGES.replace("pages", "pos")
QUERY: Final = UserList(words="Quasarhopper")


def mac(value: bytes) -> bytes:
    return hmac.digest(b"k", value, "sha256")


@pytest.fixture(scope="module")
def any_server() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture
def admin(any_server: PrivateRedis) -> Iterator[RedisAdmin]:
    with RedisAdmin(any_server.url) as admin:
        admin.flush()
        yield admin


@pytest.fixture
async def cache(any_server: PrivateRedis, admin: RedisAdmin) -> AsyncIterator[RedisCache]:
    """A cache with one page at position 5."""
    async with RedisCache.open(any_server.url, LOG_ID, 3, ttl=100, mac=mac) as cache:
        await start_over(cache, SLOT, 5)
        await put_page(cache, QUERY, b'{"items":["Quasarhopper"]}')
        yield cache


async def put_page(cache: RedisCache, query: UserList, body: bytes, position: int = 5) -> None:
    miss = await cache.pages.look_up(SLOT, query)
    assert isinstance(miss, Miss)
    cache.pages.offer(miss, Answer(body, position))
    await cache.idle()


async def known(cache: RedisCache, query: UserList = QUERY) -> bool:
    return isinstance(await cache.pages.look_up(SLOT, query), Answer)


async def test_pages_have_this_format_and_live_as_long_as_documents(
    cache: RedisCache, admin: RedisAdmin
) -> None:
    """Another format needs another `FORMAT`; else two releases read each other's values."""
    ((name, page),) = [each for each in admin.fields(PAGES).items() if each[0] != b"size"]
    mark = admin.contents()[POSITION]
    assert page == mark + b'\n5\n{"items":["Quasarhopper"]}'
    assert admin.fields(PAGES)[b"size"] == b"%d" % len(page)
    assert 90 < admin.seconds_left(PAGES) <= 100
    assert len(name) == 16
    assert b"uasar" not in name


async def test_a_later_page_does_not_extend_the_life_of_the_first(
    cache: RedisCache, admin: RedisAdmin
) -> None:
    admin.expire(PAGES, 7)
    await put_page(cache, replace(QUERY, limit=3), b"another")
    assert admin.seconds_left(PAGES) <= 7


async def test_the_name_of_a_page_does_not_reveal_its_query(
    cache: RedisCache, admin: RedisAdmin, any_server: PrivateRedis
) -> None:
    """An attacker could compare a plain digest with the digests of all names."""
    async with RedisCache.open(any_server.url, LOG_ID, 3, mac=mac) as same_key:
        assert await known(same_key)
    async with RedisCache.open(any_server.url, LOG_ID, 3) as another_key:
        assert not await known(another_key)
    plain = pages.PageNames(lambda value: hashlib.sha256(value).digest()).of(QUERY)
    assert plain not in admin.fields(PAGES)


@pytest.mark.parametrize("how", ["moves", "repaired", "ends", "forgotten", "position lost"])
async def test_an_outdated_page_is_removed(cache: RedisCache, admin: RedisAdmin, how: str) -> None:
    """It may show an erased person."""
    match how:
        case "moves":
            await move(cache, SLOT, 6)
        case "repaired":
            await start_over(cache, SLOT, 5, repairs=1)
        case "ends":
            await cache.slots.end(SLOT)
        case "forgotten":
            await cache.slots.forget(ZOE, [SLOT])
        case _:
            admin.delete(POSITION)
            await start_over(cache, SLOT, 5)
    assert admin.keys(PAGES) == []
    assert not await known(cache)


async def test_a_page_that_is_offered_late_is_not_stored(
    cache: RedisCache, admin: RedisAdmin
) -> None:
    """It would be a miss, but stay readable on the server until the next step."""
    miss = await cache.pages.look_up(SLOT, other := replace(QUERY, limit=3))
    assert isinstance(miss, Miss)
    await move(cache, SLOT, 6)
    cache.pages.offer(miss, Answer(b"late", 9))
    await cache.idle()
    assert admin.keys(PAGES) == []
    assert not await known(cache, other)


async def test_pages_from_before_a_restore_are_forgotten_too(
    cache: RedisCache, admin: RedisAdmin, any_server: PrivateRedis
) -> None:
    async with RedisCache.open(any_server.url, LOG_ID, 4, mac=mac) as restored:
        assert await restored.pages.look_up(SLOT, QUERY) is None
        await restored.slots.forget(ZOE, [SLOT])
    assert admin.keys(PAGES) == []


async def test_the_number_of_pages_is_limited(
    cache: RedisCache, admin: RedisAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_PAGES", 3)
    for limit in range(1, 8):
        await put_page(cache, replace(QUERY, limit=limit), b"page")
        assert len(admin.fields(PAGES)) <= 1 + 3
        assert await known(cache, replace(QUERY, limit=limit))


async def test_the_total_size_of_pages_is_limited(
    cache: RedisCache, admin: RedisAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_BYTES", 1000)
    for limit in range(1, 8):
        await put_page(cache, replace(QUERY, limit=limit), b"x" * 300)
        fields = dict(admin.fields(PAGES))
        assert int(fields.pop(b"size")) == sum(map(len, fields.values())) <= 1000
        assert await known(cache, replace(QUERY, limit=limit))
    for n in range(7):
        miss = Miss(SLOT, QUERY, await mark_of(cache, SLOT))
        cache.pages.offer(miss, Answer(b"x" * (300 + n), 5))
        await cache.idle()
    fields = dict(admin.fields(PAGES))
    assert int(fields.pop(b"size")) == sum(map(len, fields.values()))


async def test_a_page_that_is_too_long_is_not_offered(cache: RedisCache) -> None:
    other = replace(QUERY, limit=3)
    await put_page(cache, other, b"x" * (pages.MAX_PAGE_BYTES + 1))
    assert not await known(cache, other)
    await put_page(cache, other, b"x" * pages.MAX_PAGE_BYTES)
    assert await known(cache, other)
    assert (cache.counts.pages.kept, cache.counts.pages.refused) == (2, 1)


@pytest.mark.parametrize("value", [b"", b"{}", b"\n\n", b"ab:5:0\n5", b"\xff\n5\n{}"])
async def test_a_value_written_by_another_program_is_no_page(
    cache: RedisCache, admin: RedisAdmin, value: bytes
) -> None:
    admin.put_field(PAGES, mac(b"")[:16], value)
    (name,) = [each for each in admin.fields(PAGES) if len(each) == 16 and each != mac(b"")[:16]]
    admin.put_field(PAGES, name, value)
    assert not await known(cache)
    await put_page(cache, QUERY, b"mine")
    assert await known(cache)
