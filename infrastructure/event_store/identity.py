"""The log's identity: its id, its index key, and the breaks that restores left."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from msgspec import Struct

from application.errors import PositionGone
from application.log.event_log import StreamKey
from application.log.high_water import Epoch, Marks
from infrastructure.postgres import Connection

# The timeline that is written now, from the start of the WAL segment's name (hex). The control
# file names a new timeline only at its next checkpoint, perhaps minutes after a promotion.
PLACE: Final = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
       to_regclass('stored_events')::oid::bigint"""
# A restore makes indexes after it has loaded the rows of their tables.
COMPLETE: Final = """
(SELECT count(*) = 4 FROM unnest(array['log_pkey', 'log_breaks_pkey', 'stored_events_pkey',
                                       'stored_events_position']) AS name
 WHERE to_regclass(name) IS NOT NULL)"""
_READ: Final = """
SELECT id, epoch, system_identifier, timeline, database_oid, table_oid,
       index_master_id, index_key, master_id, (extract(epoch FROM created_at) * 1000000)::bigint,
       (SELECT coalesce(max(notification_id), 0) FROM stored_events)
FROM log"""
_BREAKS: Final = """
SELECT last_valid, first_new, epoch, (extract(epoch FROM broken_at) * 1000000)::bigint
FROM log_breaks ORDER BY epoch"""


class Place(Struct, frozen=True):
    """Where the log is stored: a restore puts it elsewhere, on the same server too.

    `database` and `table` are object ids.
    """

    system: str
    timeline: int
    database: int
    table: int


class LogBreak(Struct, frozen=True):
    """Positions above `last_valid` and below `first_new` may have been used and are now gone."""

    last_valid: int
    first_new: int


class LogIdentity(Struct, frozen=True, kw_only=True):
    """`index_key` is wrapped, with `id` as its subject; `epoch` is 1 plus the number of breaks.

    It is more if a restore removed breaks. `epochs` are all that the log knows, the current one
    last. `master_id` is the master key that wraps new keys; a rotation changes it. `head` was the
    position of the last event when the identity was read.
    """

    id: UUID
    epoch: int
    place: Place
    index_key: StreamKey
    master_id: str
    head: int
    epochs: tuple[Epoch, ...]
    breaks: tuple[LogBreak, ...] = ()

    def marks(self, head: int) -> Marks:
        """The high-water marks of a log that has committed up to `head`.

        The mark of an ended epoch is where the next one begins: a log that still, or again,
        stands in the ended epoch is behind it.
        """
        begins = [gap.first_new for gap in self.breaks]
        return dict(zip(self.epochs, [*begins, max([head, *begins[-1:]])], strict=True))


def raise_if_gone(position: int, breaks: Iterable[LogBreak]) -> None:
    """Raises `PositionGone` for a position that a restore removed."""
    for gap in breaks:
        if gap.last_valid < position < gap.first_new - 1:
            raise PositionGone(gap.last_valid)


async def read_identity(connection: Connection) -> LogIdentity | None:
    """The identity as it is stored, None if there is no log yet."""
    row = await (await connection.execute(_READ)).fetchone()
    if row is None:
        return None
    breaks = await (await connection.execute(_BREAKS)).fetchall()
    return LogIdentity(
        id=row[0],
        epoch=row[1],
        place=Place(*row[2:6]),
        index_key=StreamKey(master_id=row[6], wrapped=row[7]),
        master_id=row[8],
        head=row[10],
        epochs=(Epoch(1, row[9]), *(Epoch(number, since) for _, _, number, since in breaks)),
        breaks=tuple(LogBreak(last_valid, first_new) for last_valid, first_new, _, _ in breaks),
    )
