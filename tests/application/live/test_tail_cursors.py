"""A cursor returns each matching event once and in order, whatever happens around it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from application.errors import Unavailable
from application.live.tail import Cursor
from application.log.search import EventFilter
from domain.event import Event
from tests.support.log.tailing import (
    FILTERS,
    PAYLOADS,
    STREAMS,
    Log,
    let_tail_read,
    positions,
    read_up_to,
    recorded,
)

_READERS = 5


class Reader(Struct):
    """A cursor, and the positions that it returned."""

    log: Log
    after: int
    wanted: EventFilter
    cursor: Cursor
    context: AsyncExitStack
    seen: list[int]

    async def take(self, limit: int) -> None:
        try:
            self.seen += positions(await self.cursor.next(0, limit))
        except Unavailable:
            assert self.log.feed.is_unavailable

    async def close(self) -> None:
        """Checks the positions returned so far, then reads the rest and checks those too."""
        feed = self.log.feed
        expected = [event.position for event in feed.events if self.wanted.matches(event)]
        expected = [position for position in expected if position > self.after]
        assert self.seen == [position for position in expected if position <= self.cursor.position]
        was_unavailable, feed.is_unavailable = feed.is_unavailable, False
        async with asyncio.timeout(5):
            self.seen += await read_up_to(self.cursor, await feed.head())
        assert self.seen == expected
        feed.is_unavailable = was_unavailable
        await self.context.aclose()


class Following:
    """A tail with a small ring, and its readers; each method is one step of a random history."""

    def __init__(self) -> None:
        self.log = Log(max_events=6, max_bytes=16_000)
        self.readers: list[Reader] = []

    async def append(self, events: list[tuple[int, Event, int]]) -> None:
        position = self.log.last
        for hole, payload, stream in events:
            position += hole
            self.log.append(recorded(position, payload, STREAMS[stream]))

    async def open(self, place: float, wanted: int) -> None:
        if self.log.feed.is_unavailable or len(self.readers) == _READERS:
            return
        context = AsyncExitStack()
        after = round(place * self.log.last)
        cursor = await context.enter_async_context(self.log.cursor(after, FILTERS[wanted]))
        reader = Reader(self.log, after, FILTERS[wanted], cursor, context, [])
        self.readers.append(reader)

    async def take(self, reader: int, limit: int) -> None:
        if self.readers:
            await self.readers[reader % len(self.readers)].take(limit)

    async def close(self, reader: int) -> None:
        if self.readers:
            await self.readers.pop(reader % len(self.readers)).close()

    async def outage(self, begins: bool) -> None:
        self.log.feed.is_unavailable = begins

    async def let_tail_read(self) -> None:
        await let_tail_read()


_events = st.tuples(st.integers(1, 3), st.sampled_from(PAYLOADS), st.integers(0, 2))
_reader = st.integers(0, _READERS - 1)
_STEPS = {
    "append": st.tuples(st.lists(_events, min_size=1, max_size=12)),
    "open": st.tuples(st.floats(0, 1), st.integers(0, len(FILTERS) - 1)),
    "take": st.tuples(_reader, st.integers(1, 5)),
    "close": st.tuples(_reader),
    "outage": st.tuples(st.booleans()),
    "let_tail_read": st.tuples(),
}
histories = st.lists(
    st.one_of([st.tuples(st.just(name), arguments) for name, arguments in _STEPS.items()]),
    max_size=60,
)


@given(histories)
def test_every_cursor_returns_each_event_once_and_in_order(
    history: list[tuple[str, tuple[object, ...]]],
) -> None:
    asyncio.run(_live(history))


async def _live(history: list[tuple[str, tuple[object, ...]]]) -> None:
    following = Following()
    for name, arguments in history:
        step: Callable[..., Awaitable[None]] = getattr(following, name)
        await step(*arguments)
    for reader in following.readers:
        await reader.close()
