"""The log's identity: its id, its index key, and where a restore cut it."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from msgspec import Struct

from application.errors import PositionGone
from application.event_log import StreamKey
from infrastructure.postgres import Connection

# Positions are never reused: after a restore the log goes on at the next multiple of this.
_LEAP: Final = 10**12

# The timeline that is written now: the control file names a new one only at its next checkpoint,
# which may be minutes after a promotion. A segment's name begins with it, in hex.
_SERVER: Final = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"""
# Whoever freezes with the append function's lock in its hands would hold up every writer; and what
# is read under the lock must be what its last holder committed.
_SETTINGS: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '2000', false),
       set_config('default_transaction_isolation', 'read committed', false)"""
_READ: Final = """
SELECT id, epoch, system_identifier, timeline, index_master_id, index_key FROM log"""
_CREATE: Final = """
INSERT INTO log (id, epoch, system_identifier, timeline, index_master_id, index_key)
VALUES (%s, 1, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""
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
_BREAKS: Final = "SELECT last_valid, first_new FROM log_breaks ORDER BY epoch"


class LogBreak(Struct, frozen=True):
    """Positions above `last_valid` and below `first_new` were given out once and are gone."""

    last_valid: int
    first_new: int


class LogIdentity(Struct, frozen=True, kw_only=True):
    """`index_key` is wrapped, with `id` as its subject; `epoch` counts the restores from 1."""

    id: UUID
    epoch: int
    index_key: StreamKey
    breaks: tuple[LogBreak, ...] = ()


def refuse_gap(position: int, breaks: Iterable[LogBreak]) -> None:
    """Raises `PositionGone` for a position that a restore took back."""
    for gap in breaks:
        if gap.last_valid < position < gap.first_new - 1:
            raise PositionGone(gap.last_valid)


async def open_log(connection: Connection, new_id: UUID, new_index_key: StreamKey) -> LogIdentity:
    """The identity of the log, made from `new_id` and `new_index_key` on the first start.

    A server with another system identifier or timeline than the log last ran on has been
    restored or failed over: events that readers saw may be missing, so a break is recorded.
    """
    await connection.execute(_SETTINGS)
    async with connection.transaction():
        # The append function's own lock: no position is given out while the log is looked at.
        await connection.execute("SELECT pg_advisory_xact_lock(1383034987, 1)")
        cursor = await connection.execute(_SERVER)
        server = await cursor.fetchone()
        assert server is not None
        await connection.execute(
            _CREATE, (new_id, *server, new_index_key.master_id, new_index_key.wrapped)
        )
        row = await (await connection.execute(_READ)).fetchone()
        assert row is not None
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
        index_key=StreamKey(master_id=row[4], wrapped=row[5]),
        breaks=tuple(LogBreak(*cut) for cut in breaks),
    )
