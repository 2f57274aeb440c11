"""The live end of the log: read once a process, and followed by any number of cursors.

A cursor is a position and a filter. Inside the ring of the newest events it is served from memory,
behind it from the store, and at the head it waits. So a slow reader costs its own lag, never
memory and never an event.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, NoReturn
from uuid import UUID

from msgspec import Struct

from application.doorbell import LOG, Doorbell
from application.errors import PositionAhead, Unavailable
from application.live.tail_ring import Ring, TailEvent
from application.log.search import EventFilter, SearchableFeed
from application.retry import BackOff
from domain.user.events import UserErased

# The tail also reads once a second, because a bell can be missed and a store can be away.
POLL_SECONDS: Final = 1.0

_TAIL_PAGE: Final = 500
# Behind the ring; few of them would fit into a batch if events are large.
_STORE_PAGE: Final = 100
# Clients refuse messages of more than a megabyte.
_BATCH_EVENTS: Final = 256
_BATCH_BYTES: Final = 256 * 1024


class Batch(Struct, frozen=True, kw_only=True):
    """Events that matched, in order; `position` is after all events read.

    `head` is the highest known position.
    """

    events: Sequence[TailEvent]
    position: int
    head: int


class Tail:
    """Reads the log while there are cursors; `stopping` ends all cursors.

    The ring keeps at most `max_events`, in about `max_bytes`.
    """

    def __init__(
        self,
        feed: SearchableFeed,
        doorbell: Doorbell,
        log_id: UUID,
        stopping: asyncio.Event,
        *,
        max_events: int = 4096,
        max_bytes: int = 8 * 1024 * 1024,
    ) -> None:
        self.feed = feed
        self.log_id = log_id
        self.stopping = stopping
        self._doorbell = doorbell
        self._limits = {"max_events": max_events, "max_bytes": max_bytes}
        self._ring: Ring | None = None
        self._moved = asyncio.Event()
        self._cursors = 0
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def place(self, after: int | None) -> tuple[int, int]:
        """The start position of a reader, and the head: `after` if the log has it, the head for None.

        Raises `PositionAhead`, `PositionGone` and `Unavailable`.
        """
        head = await self.feed.head()
        if after is None:
            return head, head
        # Only the store knows which positions a restore removed.
        page = await self.feed.read(after, 1)
        if not page.events and after > head:
            raise PositionAhead(head)
        return after, max(head, page.reached)

    @asynccontextmanager
    async def cursor(self, wanted: EventFilter, position: int) -> AsyncGenerator["Cursor"]:
        """A cursor after a position of this log."""
        if not self._cursors:
            reading = self._read_on()
            self._tasks = (asyncio.create_task(reading), asyncio.create_task(self._end()))
        self._cursors += 1
        try:
            yield Cursor(self, wanted, position)
        finally:
            self._cursors -= 1
            if not self._cursors:
                self._ring = None
                # Not awaited: a read in a frozen store would block the reader.
                for task in self._tasks:
                    task.cancel()

    def ring_at(self, position: int) -> Ring | None:
        """The ring if it has all events after a position, else None."""
        ring = self._ring
        return ring if ring is not None and ring.start <= position else None

    @property
    def end(self) -> int:
        """The last position that the tail has read; 0 before the first read."""
        return 0 if self._ring is None else self._ring.end

    async def moved_beyond(self, position: int, seconds: float) -> None:
        """Wait until the tail has read beyond a position, the time is up, or the tail stops."""
        try:
            async with asyncio.timeout(seconds):
                while self.end <= position and not self.stopping.is_set():
                    await self._moved.wait()
        except TimeoutError:
            return

    async def _read_on(self) -> NoReturn:
        """Read the log for ever; retries while the store is away."""
        ring: Ring | None = None
        back_off = BackOff("tail")
        while True:
            try:
                # Listens before the first read, so that an event recorded in between rings.
                async with self._doorbell.listen(LOG) as bell:
                    if ring is None:
                        ring = self._ring = Ring(await self.feed.head(), **self._limits)
                        self._wake()
                    while True:
                        moved = await self._advance(ring)
                        back_off.reset()
                        if not moved:
                            await bell.wait(POLL_SECONDS)
            except Exception as error:
                await back_off.wait(error)

    async def _advance(self, ring: Ring) -> bool:
        """Add one page to the ring. Returns whether there was one."""
        page = await self.feed.read(ring.end, _TAIL_PAGE)
        if page.reached == ring.end:
            return False
        ring.extend((TailEvent(recorded, self.log_id) for recorded in page.events), page.reached)
        for recorded in page.events:
            if isinstance(recorded.event, UserErased):
                ring.erase(recorded.stream)
        self._wake()
        return True

    async def _end(self) -> None:
        await self.stopping.wait()
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class Cursor:
    """The position of one reader: it got all matching events up to there, once and in order."""

    def __init__(self, tail: Tail, wanted: EventFilter, position: int) -> None:
        self.position = position
        self._tail = tail
        self._wanted = wanted

    async def batches(self, pulse: float) -> AsyncGenerator[Batch]:
        """Matching events until the tail stops, and an empty batch every `pulse` seconds.

        While the store is away, all batches are empty. Raises `PositionGone`.
        """
        loop = asyncio.get_running_loop()
        due = loop.time() + pulse
        while not self._tail.stopping.is_set():
            try:
                batch = await self.next(due - loop.time())
            except Unavailable:
                await self._tail.moved_beyond(self._tail.end, min(POLL_SECONDS, pulse))
                batch = self._batch(())
            if batch.events:
                yield batch
            if loop.time() >= due:
                yield self._batch(())
                due = loop.time() + pulse

    async def next(self, seconds: float, limit: int = _BATCH_EVENTS) -> Batch:
        """Up to `limit` matching events from the next part of the log; waits up to `seconds` for it.

        Empty if nothing matched, or nothing was recorded. Raises `Unavailable` and `PositionGone`.
        """
        tail = self._tail
        if tail.ring_at(self.position) is None:
            page = await tail.feed.search(self.position, self._wanted, min(limit, _STORE_PAGE))
            if page.reached > self.position:
                events = (TailEvent(recorded, tail.log_id) for recorded in page.events)
                return self._take(events, page.reached, limit)
        await tail.moved_beyond(self.position, seconds)
        ring = tail.ring_at(self.position)
        if ring is None:
            return self._batch(())
        return self._take(ring.after(self.position), ring.end, limit)

    def _take(self, events: Iterable[TailEvent], end: int, limit: int) -> Batch:
        """Collect matching events until the batch is full, or all up to `end` are read."""
        taken: list[TailEvent] = []
        size = 0
        for event in events:
            if self._wanted.matches(event.recorded):
                size += event.size
                if len(taken) == limit or (taken and size > _BATCH_BYTES):
                    break
                taken.append(event)
            self.position = event.recorded.position
        else:
            self.position = max(self.position, end)
        return self._batch(taken)

    def _batch(self, events: Sequence[TailEvent]) -> Batch:
        head = max(self._tail.end, self.position)
        return Batch(events=events, position=self.position, head=head)
