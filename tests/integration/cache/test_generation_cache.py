"""The cache and generations: filled before a switch, and correct after a view was repaired."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from application.cache.documents import day_of
from application.cache.followers import UserCacheFollower
from application.cache.ports import Step
from application.cache.refresh import RefreshedStats, RefreshedUsers
from application.projector.parked import retry
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import RenderedDocuments, UserDocument
from domain.user.events import UserRegistered
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.event_store.changes import PostgresChangeFeed
from infrastructure.views.projector.parked import PostgresRefreshQueue
from infrastructure.views.queries.entries import PostgresViewEntries
from infrastructure.views.sql.reader import ViewReader
from projections.headcount import HEADCOUNT, Headcount
from projections.registry import PROJECTIONS
from projections.users import USERS, UserRow
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder

NOW = datetime.now(UTC)


class Cached(Rebuilder):
    """Generations with a cache."""

    cache: RedisCache
    reader: ViewReader

    @property
    def entries(self) -> PostgresViewEntries:
        return PostgresViewEntries(self.reader)

    async def follow(self, *slots: Slot[UserRow]) -> None:
        """Run the cache's followers until they have nothing left to do."""
        changes = PostgresChangeFeed(self.read_side.events.database)
        for slot in slots:
            follower = UserCacheFollower(slot, self.cache.following, changes, self.entries)
            while await follower.step():
                pass

    async def copy(self, slot: Slot[UserRow], user: UUID) -> UserDocument | None:
        """The cached document; on a busy machine the first look-ups may miss."""
        async with asyncio.timeout(10):
            while (known := await self.cache.users.look_up(slot, user)) is None:
                await asyncio.sleep(0.05)
        return known.value

    async def statistics(self, slot: Slot[Headcount], day: str) -> Answer[bytes]:
        async with asyncio.timeout(10):
            while (known := await self.cache.stats.look_up(slot, day)) is None:
                await asyncio.sleep(0.05)
        return known


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
    await side.cache.following.advance(slot, await _step(side, slot, stream))
    before = await side.copy(slot, stream)
    assert before is not None
    assert (before.version, before.status) == (1, "active")
    await make_known(side, stream)
    assert await side.copy(slot, stream) == before
    queue = PostgresRefreshQueue(side.reader, PROJECTIONS)
    users = RefreshedUsers(queue, side.cache.following, side.cache.erasing, side.entries)
    await users.refresh()
    after = await side.copy(slot, stream)
    assert after is not None
    assert (after.version, after.status) == (2, "suspended")
    assert await side.cache.following.position(slot) == head
    assert await queue.pending(USERS.name) == {}
    assert len(await queue.pending(HEADCOUNT.name)) == 1


async def test_copies_that_were_too_new_or_never_existed_are_not_read_after_a_repair(
    side: Cached,
) -> None:
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
        await side.cache.following.advance(slot, await _step(side, slot, each))
        wrong = await side.copy(slot, each)
        assert wrong is not None
        assert wrong.version == 9
    assert (await side.verify(repair=True))["switched"]
    # Queries look up the generation that serves now; the cache keeps wrong copies of the other.
    repaired = Slot(USERS, 2)
    await side.follow(repaired)
    await side.cache.following.advance(repaired, await _step(side, repaired, stream))
    right = await side.copy(repaired, stream)
    assert right is not None
    assert (right.version, b"Ada" in right.body) == (1, True)
    assert await side.cache.users.look_up(repaired, stray) is None


async def _step(side: Cached, slot: Slot[UserRow], stream: UUID) -> Step:
    """The user's present row, as an API process offers it after a miss."""
    view = await side.entries.entries(slot, [stream])
    row = view.entries[stream].view
    assert row is not None
    users = {stream: UserDocument.of(row)}
    return Step(after=0, reached=0, read_at=view.position, users=users)


async def test_the_statistics_are_replaced_though_no_position_moved(side: Cached) -> None:
    stream = await side.read_side.record(registered("Ada"))
    await unreadable(side, stream)
    await side.caught_up(HEADCOUNT.name)
    rendered = RenderedDocuments(side.read_side.queries)
    slot, day = Slot(HEADCOUNT), day_of(NOW)
    await side.cache.stats.replace(slot, day, await rendered.stats(NOW))
    before = await side.statistics(slot, day)
    assert b'"active":1,"suspended":0' in before.value
    await make_known(side, stream)
    queue = PostgresRefreshQueue(side.reader, PROJECTIONS)
    await RefreshedStats(queue, side.cache.stats, rendered, lambda: NOW).refresh()
    after = await side.statistics(slot, day)
    assert b'"active":0,"suspended":1' in after.value
    assert after.position == before.position
    # A late write of the old statistics does not bring them back.
    side.cache.stats.offer(slot, day, before)
    await side.cache.idle()
    assert await side.statistics(slot, day) == after
