"""The log's identity: its id, its index key, and the gaps that restores left."""

import asyncio
from collections.abc import Iterable
from typing import Final, NoReturn
from uuid import UUID

from msgspec import Struct
from structlog import get_logger

from application.errors import PositionGone, Unavailable
from application.log.event_log import StreamKey
from infrastructure.database import Database
from infrastructure.event_store.stored_rows import Row
from infrastructure.postgres import Connection

# Positions are never reused: after a restore the log continues at the next multiple of this.
_LEAP: Final = 10**12
_WATCH_SECONDS: Final = 5.0

# The timeline that is written now, from the start of the WAL segment's name (hex). The control
# file names a new timeline only at its next checkpoint, perhaps minutes after a promotion.
_SERVER: Final = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"""
# A process that freezes while it holds the append function's lock would block every writer.
# Statements under the lock must see the commit of the lock's previous holder.
_SETTINGS: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '2000', false),
       set_config('default_transaction_isolation', 'read committed', false)"""
_READ: Final = """
SELECT id, epoch, system_identifier, timeline, index_master_id, index_key, master_id FROM log"""
_CREATE: Final = """
INSERT INTO log (id, epoch, system_identifier, timeline, index_master_id, index_key, master_id)
VALUES (%s, 1, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""
_BREAK: Final = """
WITH cut AS (
    SELECT coalesce(max(notification_id), 0) AS last_valid,
           (greatest(coalesce(max(notification_id), 0),
                     (SELECT last_value FROM stored_events_notification_id_seq)) / %(leap)s + 1)
           * %(leap)s AS first_new
    FROM stored_events
), moved AS (
    UPDATE log SET epoch = epoch + 1, system_identifier = %(system)s, timeline = %(timeline)s
    RETURNING epoch
), noted AS (
    INSERT INTO log_breaks (epoch, last_valid, first_new)
    SELECT epoch, last_valid, first_new FROM moved, cut RETURNING first_new
)
SELECT setval('stored_events_notification_id_seq', first_new, false) FROM noted"""
_NOW: Final = f"{_SERVER}, (SELECT epoch FROM log)"
_BREAKS: Final = "SELECT last_valid, first_new FROM log_breaks ORDER BY epoch"

log = get_logger(__name__)


class LogBreak(Struct, frozen=True):
    """Positions above `last_valid` and below `first_new` may have been used and are now gone."""

    last_valid: int
    first_new: int


class LogIdentity(Struct, frozen=True, kw_only=True):
    """`index_key` is wrapped, with `id` as its subject; `epoch` is 1 plus the number of restores.

    `server` is the system identifier and the timeline of the log's server. `master_id` is the
    master key that wraps new keys; a rotation changes it.
    """

    id: UUID
    epoch: int
    server: tuple[str, int]
    index_key: StreamKey
    master_id: str
    breaks: tuple[LogBreak, ...] = ()


class LogMoved(Exception):
    """The database was restored or failed over since this process started: restart the process."""


def raise_if_gone(position: int, breaks: Iterable[LogBreak]) -> None:
    """Raises `PositionGone` for a position that a restore removed."""
    for gap in breaks:
        if gap.last_valid < position < gap.first_new - 1:
            raise PositionGone(gap.last_valid)


async def open_log(
    connection: Connection, new: tuple[UUID, StreamKey] | None = None
) -> LogIdentity | None:
    """The identity of the log, made from a new id and index key on the first start.

    Without them, None if there is no log yet. If the server's system identifier or timeline has
    changed, it was restored or failed over: events that readers saw may be missing, so a break is
    recorded.
    """
    await connection.execute(_SETTINGS)
    async with connection.transaction():
        # The append function's own lock: no position is assigned during this transaction.
        await connection.execute("SELECT pg_advisory_xact_lock(1383034987, 1)")
        cursor = await connection.execute(_SERVER)
        server = await cursor.fetchone()
        assert server is not None
        if new is not None:
            log_id, key = new
            wrapped = (key.master_id, key.wrapped, key.master_id)
            await connection.execute(_CREATE, (log_id, *server, *wrapped))
        row = await (await connection.execute(_READ)).fetchone()
        if row is None:
            return None
        if (row[2], row[3]) != server:
            await connection.execute(
                _BREAK, {"leap": _LEAP, "system": server[0], "timeline": server[1]}
            )
            row = await (await connection.execute(_READ)).fetchone()
            assert row is not None
        breaks = await (await connection.execute(_BREAKS)).fetchall()
    return LogIdentity(
        id=row[0],
        epoch=row[1],
        server=(row[2], row[3]),
        index_key=StreamKey(master_id=row[4], wrapped=row[5]),
        master_id=row[6],
        breaks=tuple(LogBreak(*cut) for cut in breaks),
    )


async def check_not_moved(connection: Connection, identity: LogIdentity) -> None:
    """Raises `LogMoved` if the server or the epoch is no longer that of `identity`."""
    row = await (await connection.execute(_NOW)).fetchone()
    _compare(row, identity)


async def watch_log(
    database: Database, identity: LogIdentity, every: float = _WATCH_SECONDS
) -> NoReturn:
    """Check every `every` seconds. Raises `LogMoved` when the log has moved.

    The writer checks by itself. A process that only reads would keep stale events and old gaps.
    """
    while True:
        await asyncio.sleep(every)
        try:
            rows = await database.rows(_NOW)
        except Unavailable:
            continue
        _compare(rows[0], identity)


def _compare(row: Row | None, identity: LogIdentity) -> None:
    if row is None or tuple(row) != (*identity.server, identity.epoch):
        log.error("log_moved", reason=LogMoved.__doc__)
        raise LogMoved(LogMoved.__doc__)
