"""A directory on a real server for tests of the read side: event store, projectors and queries."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from application.log.event_log import Draft
from application.projector.view_store import Slot
from application.queries.directory import UserList
from domain.event import Event
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.keys import MasterKeys
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.projector.store import PostgresViewStore
from infrastructure.views.queries.directory import PostgresDirectory
from interfaces.composition.event_store import EventStore, open_event_store
from projections.registry import PROJECTIONS
from tests.support.log.drafts import context
from tests.support.run.background import in_background
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.views.compare_views import differences, events_by_stream_of, snapshot, views_in
from tests.support.views.projectors import run_projectors
from tests.support.views.replay import Differences, Snapshot


async def execute(url: str, statement: str, *parameters: Any) -> list[Any]:
    """Run one statement on a new connection; its rows."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode(), parameters or None)
        return list(await cursor.fetchall()) if cursor.description else []


class ReadSide:
    """Everything between the log and the answer of a query, in this process."""

    def __init__(
        self, url: str, events: EventStore, doorbell: PostgresDoorbell, queries: PostgresDirectory
    ) -> None:
        self.url = url
        self.events = events
        self.doorbell = doorbell
        self.queries = queries
        self.views = PostgresViewStore(events.database)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncGenerator[Self]:
        """Opens over a migrated database; projects nothing yet."""
        await ensure_views(url, PROJECTIONS)
        async with AsyncExitStack() as stack:
            masters = MasterKeys.parse(MASTER_KEYS)
            events = await stack.enter_async_context(open_event_store(url, masters))
            doorbell = await stack.enter_async_context(PostgresDoorbell.open(url))
            queries = PostgresDirectory(events.database, events.feed, doorbell)
            yield cls(url, events, doorbell, queries)

    @asynccontextmanager
    async def projecting(self) -> AsyncGenerator[None]:
        """Run the projectors until the block ends."""
        slots = [Slot(projection) for projection in PROJECTIONS]
        work = run_projectors(slots, self.views, self.events.feed, self.doorbell)
        async with in_background(work):
            yield

    async def record(self, *events: Event, stream: UUID | None = None) -> UUID:
        """Record a new user with these events; its id."""
        stream = stream or uuid7()
        draft = Draft(
            kind="user",
            stream=stream,
            after_version=0,
            events=events,
            context=context(),
            status=201,
        )
        await self.events.log.append(draft)
        return stream

    async def names(self, **query: Any) -> list[str | None]:
        """The names on the first page of a list."""
        page = (await self.queries.users(UserList(**query))).value
        return [user.name for user in page.items]

    async def caught_up(self) -> int:
        """The head of the log, once all views have reached it."""
        head = await self.events.feed.head()
        async with asyncio.timeout(30):
            while (await self.queries.projections()).position < head:
                await asyncio.sleep(0.02)
        return head

    async def differences(self) -> list[Differences]:
        """The differences from a new fold of the log, for all projections."""
        views, histories = views_in(self.url), events_by_stream_of(self.events)
        found = [await differences(views, histories, [Slot(each)]) for each in PROJECTIONS]
        return [each for each in found if each]

    async def snapshot(self, slot: Slot[Any]) -> Snapshot[Any]:
        """All that is stored for a slot."""
        return await snapshot(views_in(self.url), slot)
