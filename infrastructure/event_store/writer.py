"""Group commit: takes whatever commands wait and records them in one transaction."""

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import psycopg
from structlog import get_logger

from application.errors import OutcomeUnknown, Overloaded, Unavailable
from infrastructure.event_store.append_items import AppendResult, Item
from infrastructure.event_store.writer_session import ConnectionLost, NotConnected, WriterSession
from infrastructure.postgres import is_notify_queue_full

BATCH_ITEMS: Final = 256
BATCH_BYTES: Final = 4 * 1024 * 1024
QUEUE_ITEMS: Final = 4096
QUEUE_BYTES: Final = 64 * 1024 * 1024
APPEND_SECONDS: Final = 3.2
_SWEEP_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
# Classes of SQLSTATE that speak of the server's state, not of the item: 40 rolled back, 53 out of
# resources, 55 not in a state for it, 57 operator's intervention, 58 I/O.
_SERVER_STATE: Final = ("40", "53", "55", "57", "58")

log = get_logger(__name__)


class Refused(Exception):
    """The database refuses this item, whatever its neighbours: nothing of it was recorded."""


class _Waiting:
    __slots__ = ("deadline", "future", "item", "sent")

    def __init__(self, item: Item, future: asyncio.Future[AppendResult], deadline: float) -> None:
        self.item = item
        self.future = future
        self.deadline = deadline
        self.sent = False

    def settle(self, outcome: AppendResult | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class GroupCommitWriter:
    """One queue and one connection: batches of up to 256 items or 4 MB, with no artificial delay.

    While a batch is on its way to the disk the next one gathers, so that the cost of a commit is
    shared by all who wait.
    """

    def __init__(self, session: WriterSession, *, timeout_seconds: float = APPEND_SECONDS) -> None:
        self._session = session
        self._timeout_seconds = timeout_seconds
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._in_flight: Sequence[_Waiting] = ()
        self._work = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        # What the log has answered since the start: batches, and the items in them.
        self.batches = 0
        self.commands = 0

    def start(self) -> None:
        """Begin to write; the queue may have items already."""
        self._task = asyncio.create_task(self._run(), name="event-store-writer")

    async def close(self) -> None:
        """Write what waits, then stop; new items are refused from now on."""
        self._closing = True
        self._work.set()
        if self._task is not None:
            await self._task
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._session.close()

    @property
    def waiting(self) -> int:
        """How many items are queued or on their way."""
        return len(self._queue) + len(self._in_flight)

    async def append(self, item: Item) -> AppendResult:
        """Record the item durably.

        Raises what stopped the item (`KeySeen`, `VersionConflict`, `ClaimTaken`), `Refused`,
        `Overloaded`, `Unavailable` (surely not recorded) or `OutcomeUnknown`.
        """
        if self._closing:
            raise Unavailable
        size = len(item.payload)
        if len(self._queue) >= QUEUE_ITEMS or self._queued_bytes + size > QUEUE_BYTES:
            raise Overloaded
        if size > BATCH_BYTES:
            raise Refused(str(Refused.__doc__))
        loop = asyncio.get_running_loop()
        waiting = _Waiting(item, loop.create_future(), loop.time() + self._timeout_seconds)
        self._queue.append(waiting)
        self._queued_bytes += size
        self._work.set()
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)
        return await waiting.future

    async def _run(self) -> None:
        while True:
            while not self._queue:
                if self._closing:
                    return
                self._work.clear()
                await self._work.wait()
            self._in_flight = self._take()
            if self._in_flight:
                await self._record(self._in_flight)
            self._in_flight = ()

    def _take(self) -> list[_Waiting]:
        """The next batch: in order, but items that touch one before them wait for the next."""
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        touched: set[Hashable] = set()
        size = 0
        while self._queue and len(batch) < BATCH_ITEMS and len(later) < BATCH_ITEMS:
            waiting = self._queue[0]
            size += len(waiting.item.payload)
            if batch and size > BATCH_BYTES:
                break
            self._queue.popleft()
            self._queued_bytes -= len(waiting.item.payload)
            if waiting.future.done():
                continue
            apart = touched.isdisjoint(waiting.item.touches)
            touched |= waiting.item.touches
            (batch if apart else later).append(waiting)
        self._queue.extendleft(reversed(later))
        self._queued_bytes += sum(len(waiting.item.payload) for waiting in later)
        return batch

    async def _record(self, batch: Sequence[_Waiting], *, in_doubt: bool = False) -> None:
        """Send a batch until it is answered or nobody waits for it any more.

        `in_doubt`: it was sent before, and that answer never came.
        """
        attempt = 0
        while batch:
            try:
                await self._session.ready()
                # Whoever was told meanwhile that nothing was recorded must not be recorded now.
                batch = _still_waiting(batch)
                if not batch:
                    return
                _mark_sent(batch, sent=True)
                outcomes = await self._session.send([waiting.item for waiting in batch])
            except NotConnected:
                _mark_sent(batch, sent=in_doubt)
            except ConnectionLost:
                in_doubt = True
            except Exception as error:
                # The connection still works, so nothing of this attempt was committed.
                _mark_sent(batch, sent=in_doubt)
                # The attempt before may yet be, unless the items themselves are what was refused.
                if not (in_doubt and _is_of_the_server(error)):
                    await self._narrow(batch, error, in_doubt=in_doubt)
                    return
            else:
                self.batches += 1
                self.commands += len(batch)
                for waiting, outcome in zip(batch, outcomes, strict=True):
                    waiting.settle(outcome)
                return
            await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
            attempt += 1
            batch = _still_waiting(batch)

    async def _narrow(self, batch: Sequence[_Waiting], error: Exception, *, in_doubt: bool) -> None:
        """Halve a refused batch down to the item that is at fault."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._record(batch[:middle], in_doubt=in_doubt)
            await self._record(batch[middle:], in_doubt=in_doubt)
            return
        log.error("append_refused", error=type(error).__name__, sqlstate=_sqlstate(error))
        if _is_of_the_server(error):
            batch[0].settle(Unavailable())
        else:
            batch[0].settle(Refused(str(Refused.__doc__)))

    def _sweep(self) -> None:
        """Answer those whose time is up, as truthfully as can be."""
        now = asyncio.get_running_loop().time()
        _expire(self._in_flight, now)
        _expire(self._queue, now)
        busy = self._queue or self._in_flight
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep) if busy else None


def _still_waiting(batch: Iterable[_Waiting]) -> list[_Waiting]:
    return [waiting for waiting in batch if not waiting.future.done()]


def _mark_sent(batch: Iterable[_Waiting], *, sent: bool) -> None:
    for waiting in batch:
        waiting.sent = sent


def _sqlstate(error: Exception) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def _is_of_the_server(error: Exception) -> bool:
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return False
    return error.sqlstate.startswith(_SERVER_STATE) or is_notify_queue_full(error)


def _expire(waiting: Iterable[_Waiting], now: float) -> None:
    for one in waiting:
        if one.deadline <= now and not one.future.done():
            one.settle(OutcomeUnknown() if one.sent else Unavailable())
