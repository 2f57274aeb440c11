"""Notices that the log was restored or failed over under a running process."""

import asyncio
from typing import Final, NoReturn
from uuid import UUID

import psycopg
from structlog import get_logger

from application.errors import Unavailable
from application.log.high_water import HighWaterMarks, Marks, highest, is_behind
from infrastructure.database import Database
from infrastructure.event_store.identity import (
    COMPLETE,
    PLACE,
    LogIdentity,
    Place,
)
from infrastructure.event_store.opening import RestoreUnfinished, reopen_log
from infrastructure.event_store.stored_rows import Row
from infrastructure.postgres import Connection

_WATCH_SECONDS: Final = 5.0
# Under load, one mark for all commits of this time.
_PAUSE_SECONDS: Final = 0.1

_NOW: Final = f"""
{PLACE}, (SELECT epoch FROM log),
(SELECT coalesce(max(notification_id), 0) FROM stored_events), {COMPLETE}"""

log = get_logger(__name__)


class LogMoved(Exception):
    """The database was restored or failed over since this process started: restart the process."""


class HighWater:
    """The high-water marks with what this process knows; a task of it raises the marks outside.

    `head` is the highest known position of a committed event, never of one that may still be lost.
    """

    def __init__(self, identity: LogIdentity, marks: HighWaterMarks) -> None:
        self.identity = identity
        self.head = identity.head
        self._marks = marks
        self._higher = asyncio.Event()

    def committed(self, head: int) -> None:
        """Note that the log has an event at this position."""
        if head > self.head:
            self.head = head
            self._higher.set()

    async def read(self, log_id: UUID) -> Marks:
        """See `HighWaterMarks.read`; includes `head`."""
        found = await self._marks.read(log_id)
        return highest([found, self._own()]) if log_id == self.identity.id else found

    async def raise_to(self, log_id: UUID, marks: Marks) -> None:
        """See `HighWaterMarks.raise_to`."""
        await self._marks.raise_to(log_id, marks)

    async def write(self) -> None:
        """Raise the marks outside to what this process knows."""
        await self._marks.raise_to(self.identity.id, self._own())

    async def run(self) -> NoReturn:
        """Write soon after each commit; cancel it to stop."""
        while True:
            await self._higher.wait()
            self._higher.clear()
            await self.write()
            await asyncio.sleep(_PAUSE_SECONDS)

    def _own(self) -> Marks:
        return self.identity.marks(self.head)


async def check_not_moved(connection: Connection, high_water: HighWater, known: Marks) -> None:
    """Raises `LogMoved` if this is not the log that the process opened, or it is behind its marks.

    The marks must have been read before.
    """
    row = await (await connection.execute(_NOW)).fetchone()
    if row is None or _has_moved(row, high_water.identity, known):
        raise LogMoved(LogMoved.__doc__)


async def watch_log(
    database: Database, high_water: HighWater, every: float = _WATCH_SECONDS
) -> NoReturn:
    """Check every `every` seconds. Raises `LogMoved` when the log has moved.

    The writer checks by itself. A process that only reads would keep stale events and old gaps.
    """
    identity = high_water.identity
    while True:
        await asyncio.sleep(every)
        known = await high_water.read(identity.id)
        try:
            row = (await database.rows(_NOW))[0]
        except (Unavailable, psycopg.errors.UndefinedTable):
            continue  # the server is away, or a restore has not made the tables yet
        if not _has_moved(row, identity, known):
            high_water.committed(row[5])
            await high_water.write()
        elif await _is_another(database.url, high_water):
            log.error("log_moved", reason=LogMoved.__doc__)
            raise LogMoved(LogMoved.__doc__)


def _has_moved(row: Row, identity: LogIdentity, known: Marks) -> bool:
    *place, epoch, head, complete = row
    current = identity.epochs[-1]
    return (
        not complete
        or Place(*place) != identity.place
        or epoch != identity.epoch
        or is_behind(current, identity.marks(head)[current], known)
    )


async def _is_another(database_url: str, high_water: HighWater) -> bool:
    """Open the log again; whether it is another one, or in another epoch.

    That records a break, because perhaps only this process knows how far the log had come. False
    if it cannot be opened yet.
    """
    try:
        found = await reopen_log(database_url, high_water)
    except (Unavailable, RestoreUnfinished):
        return False
    return found is None or _parts(found) != _parts(high_water.identity)


def _parts(identity: LogIdentity) -> tuple[object, ...]:
    return identity.id, identity.place, identity.epoch, identity.epochs
