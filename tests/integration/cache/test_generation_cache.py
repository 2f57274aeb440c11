"""The cache of real views stays correct after a view was repaired or a stream was retried."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from application.cache.documents import CachedDocuments, day_of
from application.cache.followers import CacheFollower
from application.cache.ports import Miss
from application.projector.retry import retry
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import RenderedDocuments, UserDocument
from domain.user.events import UserErased, UserRegistered
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.views.queries.entries import PostgresViewEntries
from infrastructure.views.sql.reader import ViewReader
from projections.headcount import HEADCOUNT
from projections.registry import PROJECTIONS
from projections.users import USERS
from tests.support.views.caching import People
from tests.support.views.directory import execute
from tests.support.views.filling import cached_user, mark_of, position_of
from tests.support.views.rebuilding import Rebuilder

NOW = datetime.now(UTC)


class Cached(Rebuilder):
    """Generations with a cache."""

    cache: RedisCache
    reader: ViewReader

    @property
    def entries(self) -> PostgresViewEntries:
        return PostgresViewEntries(self.reader)

    async def follow(self, *slots: Slot[Any]) -> None:
        """Run the cache's followers until they have nothing left to do."""
        changes = self.read_side.events.feed
        for slot in slots:
            follower = CacheFollower(slot, self.cache.slots, changes, self.entries)
            while await follower.step():
                pass

    async def copy(self, user: UUID) -> UserDocument | None:
        """The user's document, which is in the cache afterwards."""
        documents = await self.documents()
        async with asyncio.timeout(10):
            # On a busy machine the first look-ups may not find the server.
            while (known := await cached_user(self.cache, Slot(USERS), user)) is None:
                await documents.user(user)
                await self.cache.idle()
        return known.value

    async def statistics(self) -> bytes:
        """The statistics, which are in the cache afterwards."""
        documents = await self.documents()
        async with asyncio.timeout(10):
            while True:
                await documents.stats(NOW)
                await self.cache.idle()
                known = await self.cache.stats.look_up(Slot(HEADCOUNT), day_of(NOW))
                if isinstance(known, Answer):
                    return known.value

    async def documents(self) -> CachedDocuments:
        queries = self.read_side.queries
        documents = CachedDocuments(self.cache, RenderedDocuments(queries), queries)
        await documents.refresh()
        return documents

    async def repairs(self, projection: str) -> int:
        rows = await execute(
            self.url, "SELECT repairs FROM checkpoints WHERE projection = %s", projection
        )
        return rows[0][0]


@pytest.fixture
async def side(database_url: str, redis_url: str) -> AsyncGenerator[Cached]:
    async with (
        Cached.open(database_url) as side,
        RedisCache.open(redis_url, side.read_side.events.identity.id, 1) as cache,
        side.projecting(),
    ):
        side.cache, side.reader = cache, ViewReader(side.read_side.events.database)
        yield side


def registered(name: str) -> UserRegistered:
    return UserRegistered(name=name, email=f"{name}@example.org", role="member")


async def unreadable(side: Cached, stream: UUID) -> None:
    """Record another event of the user, of a type that this release does not know yet."""
    await execute(
        side.url,
        """INSERT INTO stored_events SELECT originator_id, 2, 'user.from_the_future',
        '{"data":{}}'::bytea, nextval('stored_events_notification_id_seq'), tenant, kind,
        gen_random_uuid(), actor, on_behalf_of, correlation_id, causation_id, recorded_at
        FROM stored_events WHERE originator_id = %s""",
        stream,
    )


async def make_known(side: Cached, stream: UUID) -> None:
    """Make the event known, as in the next release, and retry what was parked."""
    for projection in PROJECTIONS:
        await side.caught_up(projection.name)
    await execute(
        side.url,
        "UPDATE stored_events SET topic = 'user.suspended' WHERE topic = 'user.from_the_future'",
    )
    for projection in PROJECTIONS:
        retried = await retry(
            projection.name, stream, side.ports.parked_streams, side.ports.events_by_stream
        )
        assert retried.applied == 1


async def test_copies_of_a_retried_user_are_replaced_though_no_position_moved(side: Cached) -> None:
    slot = Slot(USERS)
    stream = await side.read_side.record(registered("Ada"))
    await side.follow(slot)
    await unreadable(side, stream)
    head = await side.caught_up()
    await side.follow(slot)
    before = await side.copy(stream)
    assert before is not None
    assert (before.version, before.status) == (1, "active")
    miss = Miss(slot, stream, await mark_of(side.cache, slot))
    assert await side.repairs(USERS.name) == 0
    await make_known(side, stream)
    assert await side.repairs(USERS.name) == 1
    assert await side.copy(stream) == before
    await side.follow(slot)
    # A late write of a reader does not bring the old document back.
    side.cache.users.offer(miss, Answer(before, head))
    await side.cache.idle()
    after = await side.copy(stream)
    assert after is not None
    assert (after.version, after.status) == (2, "suspended")
    assert await position_of(side.cache, slot) == head


async def test_a_retry_that_applies_nothing_leaves_the_cache_as_it_is(side: Cached) -> None:
    slot = Slot(USERS)
    stream = await side.read_side.record(registered("Ada"))
    await unreadable(side, stream)
    await side.caught_up()
    await side.follow(slot)
    before = await mark_of(side.cache, slot)
    retried = await retry(
        USERS.name, stream, side.ports.parked_streams, side.ports.events_by_stream
    )
    assert retried.applied == 0
    await side.follow(slot)
    assert await mark_of(side.cache, slot) == before


async def test_copies_that_were_too_new_or_never_existed_go_after_a_repair(side: Cached) -> None:
    slot, stray = Slot(USERS), UUID(int=7)
    stream = await side.read_side.record(registered("Ada"))
    await side.caught_up()
    await side.follow(slot)
    await execute(
        side.url,
        """INSERT INTO users_g1 SELECT (jsonb_populate_record(u, jsonb_build_object('id', %s::text))).*
        FROM users_g1 u""",
        str(stray),
    )
    await execute(side.url, "UPDATE users_g1 SET version = 9, name = 'Wrong'")
    for each in (stream, stray):
        wrong = await side.copy(each)
        assert wrong is not None
        assert wrong.version == 9
    await execute(side.url, "DELETE FROM users_g1 WHERE id = %s", stray)
    await execute(side.url, "UPDATE users_g1 SET version = 1, name = 'Ada'")
    await execute(side.url, "UPDATE checkpoints SET repairs = 1 WHERE projection = 'users'")
    await side.follow(slot)
    assert await cached_user(side.cache, slot, stray) is None
    right = await side.copy(stream)
    assert right is not None
    assert (right.version, b"Ada" in right.body) == (1, True)


async def test_the_statistics_are_replaced_though_no_position_moved(side: Cached) -> None:
    slot = Slot(HEADCOUNT)
    stream = await side.read_side.record(registered("Ada"))
    await unreadable(side, stream)
    head = await side.caught_up(HEADCOUNT.name)
    await side.follow(slot)
    assert b'"active":1,"suspended":0' in await side.statistics()
    await make_known(side, stream)
    await side.follow(slot)
    assert b'"active":0,"suspended":1' in await side.statistics()
    assert await position_of(side.cache, slot) == head


async def test_an_erasure_between_a_repair_and_the_cache_leaves_no_copy(side: Cached) -> None:
    slot = Slot(USERS)
    stream = await side.read_side.record(registered("Ada"))
    await unreadable(side, stream)
    await side.caught_up()
    await side.follow(slot)
    await side.copy(stream)
    late = Miss(slot, stream, await mark_of(side.cache, slot))
    document = await side.copy(stream)
    await make_known(side, stream)
    await People(side.read_side).record(stream, 2, UserErased())
    head = await side.caught_up()
    await side.follow(slot)
    assert await position_of(side.cache, slot) == head
    await side.cache.slots.forget(stream, [slot])
    side.cache.users.offer(late, Answer(document, head))
    await side.cache.idle()
    assert await cached_user(side.cache, slot, stream) is None
    erased = await side.copy(stream)
    assert erased is not None
    assert (erased.status, erased.body) == ("erased", b"")
