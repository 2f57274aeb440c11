"""Opens the log, and records a break if it was restored or failed over."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from structlog import get_logger

from application.errors import Unavailable
from application.log.event_log import StreamKey
from application.log.high_water import HighWaterMarks, Marks, is_behind
from infrastructure.event_store.identity import (
    COMPLETE,
    PLACE,
    LogIdentity,
    Place,
    read_identity,
)
from infrastructure.postgres import Connection, connect

# Positions are never reused: after a restore the log continues at the next multiple of this.
_LEAP: Final = 10**12

# A process that freezes while it holds the append function's lock would block every writer.
# Statements under the lock must see the commit of the lock's previous holder.
_SETTINGS: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '2000', false),
       set_config('default_transaction_isolation', 'read committed', false)"""
_ID: Final = "SELECT id FROM log"
_CREATE: Final = """
INSERT INTO log (id, epoch, system_identifier, timeline, database_oid, table_oid,
                 index_master_id, index_key, master_id)
VALUES (%s, 1, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""
_BREAK: Final = """
WITH cut AS (
    SELECT coalesce(max(notification_id), 0) AS last_valid,
           (greatest(max(notification_id), (SELECT max(first_new) FROM log_breaks), %(beyond)s,
                     (SELECT last_value FROM stored_events_notification_id_seq)) / %(leap)s + 1)
           * %(leap)s AS first_new
    FROM stored_events
), moved AS (
    UPDATE log SET epoch = greatest(epoch, %(epoch)s) + 1, system_identifier = %(system)s,
                   timeline = %(timeline)s, database_oid = %(database)s, table_oid = %(table)s
    RETURNING epoch
), noted AS (
    INSERT INTO log_breaks (epoch, last_valid, first_new)
    SELECT epoch, last_valid, first_new FROM moved, cut RETURNING first_new
)
SELECT setval('stored_events_notification_id_seq', first_new, false) FROM noted"""

log = get_logger(__name__)


class RestoreUnfinished(Exception):
    """The database is being restored: its tables are not complete yet."""


async def open_log(
    connection: Connection,
    marks: HighWaterMarks,
    new: tuple[UUID, StreamKey] | None = None,
    *,
    beyond: int | None = None,
) -> LogIdentity | None:
    """The identity of the log, made from a new id and index key on the first start.

    Without them, None if there is no log yet. If the log is in another place than recorded, or is
    behind its high-water marks, it was restored or failed over. Events that readers saw may then
    be missing, so a break is recorded. With `beyond` a break is recorded in any case, and new
    positions are above this one. Raises `RestoreUnfinished`.
    """
    await connection.execute(_SETTINGS)
    await _check_restored(connection)
    # Read before the log: marks are raised after a commit, so none of them is above the log.
    (known_id,) = await _row(connection, _ID) or (None,)
    known: Marks = {} if known_id is None else await marks.read(known_id)
    cause = None
    async with connection.transaction():
        # The append function's own lock: no position is assigned during this transaction.
        await connection.execute("SELECT pg_advisory_xact_lock(1383034987, 1)")
        place = Place(*(await _row(connection, PLACE) or ()))
        if new is not None:
            log_id, key = new
            server = (place.system, place.timeline, place.database, place.table)
            wrapped = (key.master_id, key.wrapped, key.master_id)
            await connection.execute(_CREATE, (log_id, *server, *wrapped))
        identity = await read_identity(connection)
        if identity is None:
            return None
        if identity.id == known_id:
            cause = _cause(identity, place, known, beyond)
        if cause is not None:
            await connection.execute(_BREAK, _new_epoch(place, known, beyond))
            identity = await read_identity(connection)
            assert identity is not None
    if cause is not None:
        cut = identity.breaks[-1]
        log.warning(
            "log_break",
            cause=cause,
            epoch=identity.epoch,
            last_valid=cut.last_valid,
            first_new=cut.first_new,
        )
    await marks.raise_to(identity.id, identity.marks(identity.head))
    return identity


async def reopen_log(
    database_url: str, marks: HighWaterMarks, *, beyond: int | None = None
) -> LogIdentity | None:
    """Open the log to record a break, see `open_log`. Raises `Unavailable`, too."""
    async with _connection(database_url) as connection:
        return await open_log(connection, marks, beyond=beyond)


async def check_restored(database_url: str) -> None:
    """Raises `RestoreUnfinished` if the database lacks tables or indexes, and `Unavailable`."""
    async with _connection(database_url) as connection:
        await _check_restored(connection)


async def find_log_id(database_url: str) -> UUID | None:
    """The id of the log, None if there is none yet. Raises `Unavailable`."""
    async with _connection(database_url) as connection:
        row = await _row(connection, _ID)
    return None if row is None else row[0]


@asynccontextmanager
async def _connection(database_url: str) -> AsyncGenerator[Connection]:
    try:
        connection = await connect(database_url, "rollbook log")
        try:
            yield connection
        finally:
            await connection.close()
    except (psycopg.Error, OSError) as error:
        raise Unavailable from error


async def _check_restored(connection: Connection) -> None:
    if await _row(connection, f"SELECT {COMPLETE}") != (True,):
        raise RestoreUnfinished(RestoreUnfinished.__doc__)


def _cause(identity: LogIdentity, place: Place, known: Marks, beyond: int | None) -> str | None:
    """Why a break is to be recorded; None if the log goes on as before."""
    if beyond is not None:
        return "asked"
    if identity.place != place:
        return "another place"
    current = identity.epochs[-1]
    if is_behind(current, identity.marks(identity.head)[current], known):
        return "behind its high-water mark"
    return None


def _new_epoch(place: Place, known: Marks, beyond: int | None) -> dict[str, Any]:
    """The parameters of `_BREAK`: a restore may have removed epochs and breaks that marks know."""
    return {
        "leap": _LEAP,
        "beyond": max([beyond or 0, *known.values()]),
        "epoch": max([0, *(epoch.number for epoch in known)]),
        "system": place.system,
        "timeline": place.timeline,
        "database": place.database,
        "table": place.table,
    }


async def _row(connection: Connection, query: LiteralString) -> Any:
    return await (await connection.execute(query)).fetchone()
