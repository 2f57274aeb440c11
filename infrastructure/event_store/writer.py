"""Group commit: records all waiting commands in one transaction."""

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import psycopg
from psycopg.errors import UniqueViolation
from structlog import get_logger

from application.errors import DiskFull, KeySeen, OutcomeUnknown, Overloaded, Unavailable
from infrastructure.event_store.append_requests import AppendRequest, AppendResult
from infrastructure.event_store.disk import Disk
from infrastructure.event_store.writer_session import ConnectionLost, NotConnected, WriterSession
from infrastructure.postgres import is_notify_queue_full, unavailable

BATCH_ITEMS: Final = 256
BATCH_BYTES: Final = 4 * 1024 * 1024
QUEUE_ITEMS: Final = 4096
QUEUE_BYTES: Final = 64 * 1024 * 1024
APPEND_SECONDS: Final = 3.2
_SWEEP_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
# Classes of SQLSTATE that concern the server's state, not the item: 40 transaction rollback,
# 53 insufficient resources, 55 not in prerequisite state, 57 operator intervention, 58 I/O error.
_SERVER_STATE: Final = ("40", "53", "55", "57", "58")

log = get_logger(__name__)


class Refused(Exception):
    """The database refuses this item itself: nothing of it was recorded."""


class _Waiting:
    __slots__ = ("deadline", "future", "item", "sent")

    def __init__(
        self, item: AppendRequest, future: asyncio.Future[AppendResult], deadline: float
    ) -> None:
        self.item = item
        self.future = future
        self.deadline = deadline
        self.sent = False

    def resolve(self, outcome: AppendResult | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class GroupCommitWriter:
    """One queue and one connection: batches of up to 256 items or 4 MB, without artificial delay.

    While a batch is being committed, the next one collects, so that all waiting commands share the
    cost of a commit.
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
        self.disk = Disk()
        # Batches that were recorded since the start, and the items in them.
        self.batches = 0
        self.commands = 0

    def start(self) -> None:
        """Start to write; the queue may already have items."""
        self._task = asyncio.create_task(self._run(), name="event-store-writer")

    async def close(self) -> None:
        """Write the queued items, then stop; new items are refused from now on."""
        self._closing = True
        self._work.set()
        if self._task is not None:
            await self._task
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._session.close()

    @property
    def waiting(self) -> int:
        """The number of items that are queued or being written."""
        return len(self._queue) + len(self._in_flight)

    async def append(self, item: AppendRequest) -> AppendResult:
        """Record the item durably.

        Raises the item's own error (`KeySeen`, `VersionConflict`, `ClaimTaken`), `Refused`,
        `Overloaded`, `Unavailable` (certainly not recorded) or `OutcomeUnknown`.
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
        """The next batch, in order; items that conflict with an earlier one are left for later."""
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        seen_keys: set[Hashable] = set()
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
            is_independent = seen_keys.isdisjoint(waiting.item.conflict_keys)
            seen_keys |= waiting.item.conflict_keys
            (batch if is_independent else later).append(waiting)
        self._queue.extendleft(reversed(later))
        self._queued_bytes += sum(len(waiting.item.payload) for waiting in later)
        return batch

    async def _record(self, batch: Sequence[_Waiting], *, in_doubt: bool = False) -> None:
        """Send a batch until it has a result or no caller waits for it.

        `in_doubt`: it was sent before, and the reply was lost.
        """
        attempt = 0
        while batch:
            try:
                await self._session.ready()
                # An item whose caller already got `Unavailable` must not be recorded now.
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
                # An earlier attempt may still commit, unless the items themselves are refused.
                if not (in_doubt and _is_of_the_server(error)):
                    await self._bisect(batch, error, in_doubt=in_doubt)
                    return
            else:
                self.disk.wrote()
                self.batches += 1
                self.commands += len(batch)
                for waiting, outcome in zip(batch, outcomes, strict=True):
                    waiting.resolve(outcome)
                return
            await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
            attempt += 1
            batch = _still_waiting(batch)

    async def _bisect(self, batch: Sequence[_Waiting], error: Exception, *, in_doubt: bool) -> None:
        """Split a refused batch in halves until the failing item is found."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._record(batch[:middle], in_doubt=in_doubt)
            await self._record(batch[middle:], in_doubt=in_doubt)
            return
        outcome: Exception = Refused(str(Refused.__doc__))
        if _is_key_taken(error):
            # An administrative command began with it after the append had looked.
            batch[0].resolve(KeySeen())
            return
        if _is_of_the_server(error):
            outcome = unavailable(error)
        if isinstance(outcome, DiskFull):
            self.disk.refused()
        else:
            log.error("append_refused", error=type(error).__name__, sqlstate=_sqlstate(error))
        batch[0].resolve(outcome)

    def _sweep(self) -> None:
        """Fail the items whose timeout has passed, with `OutcomeUnknown` if they were sent."""
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


def _is_key_taken(error: Exception) -> bool:
    return isinstance(error, UniqueViolation) and error.diag.constraint_name == "receipts_pkey"


def _sqlstate(error: Exception) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def _is_of_the_server(error: Exception) -> bool:
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return False
    return error.sqlstate.startswith(_SERVER_STATE) or is_notify_queue_full(error)


def _expire(waiting: Iterable[_Waiting], now: float) -> None:
    for one in waiting:
        if one.deadline <= now and not one.future.done():
            one.resolve(OutcomeUnknown() if one.sent else Unavailable())
