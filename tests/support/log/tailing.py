"""A log that grows, its tail, and cursors on the tail."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from application.doorbell import LOG
from application.errors import PositionGone, Unavailable
from application.live.tail import Batch, Cursor, Tail
from application.log.event_log import FeedPage
from application.log.search import EventFilter
from domain.event import Event, Recorded
from domain.user.events import (
    PreviousName,
    PreviousRole,
    UserRegistered,
    UserRenamed,
    UserRoleChanged,
)
from infrastructure.doorbell.memory import MemoryDoorbell
from tests.support.log.feeds import ListFeed

LOG_ID = UUID("018f0000-0000-7000-8000-000000000001")
STREAMS = [uuid7() for _ in range(3)]
EVERYTHING = EventFilter.parse((), user=None, every_kind=False)
FILTERS = [
    EVERYTHING,
    EventFilter.parse(("user.renamed",), user=None, every_kind=False),
    EventFilter.parse((), user=STREAMS[0], every_kind=False),
    EventFilter.parse(("no.such",), user=None, every_kind=False),
]
PAYLOADS: list[Event] = [
    UserRegistered(name="Ada", email="ada@example.org", role="member"),
    UserRenamed(name="Ada King", previous=PreviousName("Ada")),
    UserRoleChanged(role="owner", previous=PreviousRole("member")),
]


def recorded(position: int, event: Event = PAYLOADS[0], stream: UUID = STREAMS[0]) -> Recorded[Any]:
    return Recorded(
        event=event,
        kind="user",
        stream=stream,
        version=position,
        position=position,
        event_id=uuid7(),
        actor="token:t",
        on_behalf_of=None,
        correlation_id="c",
        causation_id=None,
        recorded_at=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=position),
    )


class CountingFeed(ListFeed):
    """Counts its reads; raises `PositionGone` for the positions in `gone`."""

    reads = 0
    gone = range(0)

    async def read(self, after: int, limit: int) -> FeedPage:
        self.reads += 1
        if after in self.gone:
            raise PositionGone(self.gone.start - 1)
        return await super().read(after, limit)

    async def head(self) -> int:
        if self.is_unavailable:
            raise Unavailable
        return await super().head()


class Log:
    """A log that grows, with its tail."""

    def __init__(self, **limits: int) -> None:
        self.feed = CountingFeed()
        self.doorbell = MemoryDoorbell()
        self.stopping = asyncio.Event()
        self.tail = Tail(self.feed, self.doorbell, LOG_ID, self.stopping, **limits)

    @property
    def last(self) -> int:
        """The position of the last event."""
        return self.feed.events[-1].position if self.feed.events else 0

    def append(self, *events: Recorded[Any]) -> None:
        self.feed.events += events
        self.doorbell.ring(LOG)

    def grow(self, count: int) -> None:
        self.append(*(recorded(self.last + number) for number in range(1, count + 1)))

    @asynccontextmanager
    async def cursor(
        self, after: int | None = 0, wanted: EventFilter = EVERYTHING
    ) -> AsyncGenerator[Cursor]:
        position, _ = await self.tail.place(after)
        async with self.tail.cursor(wanted, position) as cursor:
            yield cursor


def positions(batch: Batch) -> list[int]:
    return [event.recorded.position for event in batch.events]


async def read_up_to(cursor: Cursor, head: int) -> list[int]:
    """The positions that a cursor returns until it has reached `head`."""
    seen: list[int] = []
    while cursor.position < head:
        seen += positions(await cursor.next(1))
    return seen


def data(event: Any, *, opened: bool = True) -> dict[str, Any]:
    return msgspec.json.decode(event.envelope(opened=opened))


async def let_tail_read() -> None:
    """Let the tail read all events."""
    for _ in range(20):
        await asyncio.sleep(0)
