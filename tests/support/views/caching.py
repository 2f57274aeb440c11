"""A real directory and cache, users that change, and readers whose answers are checked later."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Self
from uuid import UUID

import msgspec
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.cache.documents import CachedDocuments
from application.cache.followers import follow_view
from application.errors import Unavailable, ViewBehind
from application.log.event_log import Draft
from application.log.follower import PAGE_EVENTS
from application.projector.view_store import Slot
from application.queries.documents import RenderedDocuments, UserDocument
from domain.event import Event
from domain.user.events import (
    PreviousName,
    UserDeleted,
    UserErased,
    UserRegistered,
    UserRenamed,
    UserRestored,
)
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.views.queries.entries import PostgresViewEntries
from infrastructure.views.sql.reader import ViewReader
from projections.registry import PROJECTIONS
from projections.users import USERS, UserRow, evolve
from tests.support.log.drafts import context
from tests.support.views.directory import ReadSide
from tests.support.views.filling import position_of


class SeenAnswer(Struct, frozen=True):
    """An answer to a reader."""

    user_id: UUID
    at_least: int
    position: int
    document: UserDocument | None


class CachedSide:
    """The read side behind a cache of the users and the statistics."""

    def __init__(
        self,
        read_side: ReadSide,
        cache: RedisCache,
        entries: PostgresViewEntries,
        documents: CachedDocuments,
    ) -> None:
        self.read_side = read_side
        self.cache = cache
        self.views = RenderedDocuments(read_side.queries)
        self.documents = documents
        self._entries = entries

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, redis_url: str) -> AsyncGenerator[Self]:
        """Opens over a migrated database; projects and follows nothing yet."""
        async with AsyncExitStack() as stack:
            read_side = await stack.enter_async_context(ReadSide.open(database_url))
            log = read_side.events.identity
            cache = await stack.enter_async_context(RedisCache.open(redis_url, log.id, log.epoch))
            entries = PostgresViewEntries(ViewReader(read_side.events.database))
            views, progress = RenderedDocuments(read_side.queries), read_side.queries
            documents = await stack.enter_async_context(
                CachedDocuments.open(cache, views, progress, read_side.doorbell)
            )
            yield cls(read_side, cache, entries, documents)

    @asynccontextmanager
    async def following(self) -> AsyncGenerator[None]:
        """Run the followers of the cache until the block ends."""
        slots = [Slot[Any](projection) for projection in PROJECTIONS]
        changes, bell = self.read_side.events.feed, self.read_side.doorbell
        tasks = [
            asyncio.create_task(follow_view(slot, self.cache.slots, changes, self._entries, bell))
            for slot in slots
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def caught_up(self) -> int:
        """The head of the log, once the views and the cache of the users have reached it."""
        head = await self.read_side.caught_up()
        async with asyncio.timeout(20):
            while (await position_of(self.cache, Slot(USERS)) or 0) < head:
                await asyncio.sleep(0.01)
        return head


class People:
    """Registers, changes, deletes and erases users."""

    def __init__(self, read_side: ReadSide) -> None:
        self._log = read_side.events.log
        self.ids: list[UUID] = []
        # The position of the last change of each user; a reader may require it.
        self.last: dict[UUID, int] = defaultdict(int)

    async def record_users(self, seconds: float) -> None:
        """Record one user after another, four at a time."""
        until = asyncio.get_running_loop().time() + seconds

        async def record() -> None:
            while asyncio.get_running_loop().time() < until:
                await self.record_one_user()

        await asyncio.gather(*(record() for _ in range(4)))

    async def record_one_user(self) -> UUID:
        """A registration, some changes, and half the time an erasure."""
        user_id = await self.register()
        changes = random.randrange(1, 6)
        for version in range(1, changes):
            renamed = UserRenamed(name=f"Zoë {version}", previous=PreviousName("Zoë"))
            await self.record(
                user_id, version, random.choice([renamed, UserDeleted(), UserRestored()])
            )
        if random.random() < 0.5:
            await self.record(user_id, changes, UserErased())
        return user_id

    async def register(self) -> UUID:
        """Register a user; readers know its id at once."""
        user_id = uuid7()
        await self.record(user_id, 0, UserRegistered(name="Zoë", email="z@example.org", role="x"))
        self.ids.append(user_id)
        return user_id

    async def record(self, user_id: UUID, after: int, event: Event) -> None:
        """Append an event to a user that has `after` events."""
        appended = await self._log.append(
            Draft(
                kind="user",
                stream=user_id,
                after_version=after,
                events=(event,),
                context=context(),
                key=(await self._log.load(user_id)).key if after else None,
                destroy_key=isinstance(event, UserErased),
            )
        )
        self.last[user_id] = appended.position


async def keep_reading(side: CachedSide, people: People, seen: list[SeenAnswer]) -> None:
    """Read the last users without end; every second answer must include their last change."""
    while True:
        await asyncio.sleep(0.001)
        if not people.ids:
            continue
        user_id = random.choice(people.ids[-8:])
        at_least = people.last[user_id] * random.randrange(2)
        with suppress(ViewBehind, Unavailable):
            answer = await side.documents.user(user_id, at_least=at_least)
            seen.append(SeenAnswer(user_id, at_least, answer.position, answer.value))


async def wrong_answers(side: CachedSide, seen: Iterable[SeenAnswer]) -> list[str]:
    """Answers that were never right, or were out of date at their own position."""
    moments = defaultdict[UUID, list[tuple[int, UserRow]]](list)
    position = 0
    while (page := await side.read_side.events.feed.read(position, PAGE_EVENTS)).events:
        for recorded in page.events:
            known = moments[recorded.stream]
            row = evolve(known[-1][1] if known else None, recorded)
            known.append((recorded.position, row))
        position = page.reached
    return [wrong for one in seen for wrong in _wrong_facts(one, moments[one.user_id])]


def _wrong_facts(seen: SeenAnswer, moments: list[tuple[int, UserRow]]) -> Iterable[str]:
    if seen.position < seen.at_least:
        yield f"{seen.user_id} at {seen.position}, asked for {seen.at_least}"
    expected = sum(position <= seen.position for position, _ in moments)
    version = seen.document.version if seen.document else 0
    if version < expected:
        yield f"{seen.user_id} at {seen.position} is version {version} instead of {expected}"
    if seen.document is None:
        return
    row = moments[version - 1][1]
    shown = UserDocument.of(row)
    # The log no longer has the names of users that were erased later.
    if (seen.document.status, seen.document.updated_at) != (shown.status, shown.updated_at):
        yield f"{seen.user_id} version {version} is {seen.document.status}, was {shown.status}"
    name = msgspec.json.decode(seen.document.body)["name"] if seen.document.body else None
    if row.name is not None and shown.body and name != row.name:
        yield f"{seen.user_id} version {version} has another name"
