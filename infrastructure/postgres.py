"""The base of all Postgres adapters: connections that detect a dead peer and can be aborted."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from os import dup
from typing import Any, Final

from psycopg import AsyncConnection, OperationalError
from psycopg import Error as PsycopgError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from application.errors import DiskFull, Unavailable

# A peer that does not reply for this long counts as dead (TCP only; a Unix socket needs none).
_KEEPALIVE: Final = {
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
}
CONNECT_SECONDS: Final = 2
# Classes of SQLSTATE (appendix A of the PostgreSQL manual): connection, stale plan, transaction
# state, statement name, rollback, resources, locks, shutdown, disk.
_OUTAGE_CLASSES: Final = frozenset({"08", "0A", "25", "26", "40", "53", "55", "57", "58"})

_DISK_FULL: Final = "53100"

Connection = AsyncConnection[TupleRow]


def conninfo(database_url: str, application_name: str) -> str:
    """`database_url` with keepalives, a name and times in UTC; settings in the URL win."""
    given = conninfo_to_dict(database_url)
    options = f"-c timezone=UTC {given.pop('options', '')}".rstrip()
    defaults = {**_KEEPALIVE, "application_name": application_name}
    return make_conninfo("", **{**defaults, **given, "options": options})


async def connect(database_url: str, application_name: str) -> Connection:
    """A connection in autocommit mode. Raises psycopg's errors within `CONNECT_SECONDS`."""
    return await AsyncConnection.connect(
        conninfo(database_url, application_name),
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        prepare_threshold=0,
    )


def abort(connection: AsyncConnection[Any]) -> None:
    """Shut down a connection's socket, so that a caller waiting for a reply gets an error at once.

    If the caller were cancelled instead, psycopg would ask the server to cancel, and wait for it.
    """
    pgconn = connection.pgconn
    with suppress(PsycopgError, OSError), socket.socket(fileno=dup(pgconn.socket)) as ours:
        ours.shutdown(socket.SHUT_RDWR)


@asynccontextmanager
async def answered_within(seconds: float, connection: AsyncConnection[Any]) -> AsyncGenerator[None]:
    """Abort the connection if the block runs longer: it then gets an `OperationalError`."""
    timer = asyncio.get_running_loop().call_later(seconds, abort, connection)
    try:
        yield
    finally:
        timer.cancel()


def is_broken(connection: AsyncConnection[Any]) -> bool:
    """Whether the connection can no longer be used."""
    return connection.closed or connection.broken


def is_alive(connection: AsyncConnection[Any]) -> bool:
    """Whether the server still seems to be there; checked without sending anything."""
    if is_broken(connection):
        return False
    try:
        # Reads from the socket without waiting: a server that ended left its last message there,
        # and then the end of file.
        for _ in range(2):
            connection.pgconn.consume_input()
            connection.pgconn.is_busy()
    except PsycopgError:
        return False
    return not is_broken(connection)


def is_outage(error: PsycopgError | OSError, connection: AsyncConnection[Any]) -> bool:
    """Whether a retry, perhaps on another connection, may succeed."""
    if not isinstance(error, PsycopgError) or is_broken(connection):
        return True
    if error.sqlstate is None:
        return isinstance(error, OperationalError)
    return error.sqlstate[:2] in _OUTAGE_CLASSES or is_notify_queue_full(error)


def unavailable(error: Exception) -> Unavailable:
    """What callers are told of an outage."""
    is_full = isinstance(error, PsycopgError) and error.sqlstate == _DISK_FULL
    return DiskFull() if is_full else Unavailable()


def is_notify_queue_full(error: PsycopgError) -> bool:
    """Whether a commit failed because a listener of the cluster lags behind, which is temporary.

    Its SQLSTATE is that of statements that exceed a limit; only the source file differs.
    """
    return error.sqlstate == "54000" and error.diag.source_file == "async.c"
