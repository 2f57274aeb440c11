"""What every adapter on Postgres needs: connections that notice a dead peer, and a way to hang up."""

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

# A peer that answers nothing for this long is taken for dead (TCP; a Unix socket needs none).
_KEEPALIVE: Final = {
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
}
CONNECT_SECONDS: Final = 2
_NAME_BYTES: Final = 63  # a longer name is cut by the server
# Classes of SQLSTATE (appendix A of the PostgreSQL manual): connection, plan of a former table,
# transaction state, statement name, rollback, resources, locks, shutdown, disk.
_AN_OUTAGE: Final = frozenset({"08", "0A", "25", "26", "40", "53", "55", "57", "58"})

Connection = AsyncConnection[TupleRow]


def conninfo(database_url: str, application_name: str, mark: str = "") -> str:
    """`database_url` with keepalives, a name and times in UTC; what the URL sets itself wins.

    `mark` is the end of the name in any case, for others to read.
    """
    given = conninfo_to_dict(database_url)
    options = f"-c timezone=UTC {given.pop('options', '')}".rstrip()
    defaults = {**_KEEPALIVE, "application_name": application_name}
    everything = {**defaults, **given, "options": options}
    if mark:
        name = str(everything["application_name"]).encode("ascii", "replace").decode()
        everything["application_name"] = name[: _NAME_BYTES - len(mark)] + mark
    return make_conninfo("", **everything)


async def connect(database_url: str, application_name: str, mark: str = "") -> Connection:
    """A connection in autocommit mode. Raises psycopg's errors within `CONNECT_SECONDS`."""
    return await AsyncConnection.connect(
        conninfo(database_url, application_name, mark),
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        prepare_threshold=0,
    )


def abort(connection: AsyncConnection[Any]) -> None:
    """End the socket of a connection, so that whoever waits for its reply gets an error at once.

    Cancelling the wait instead would have psycopg ask the server to cancel, and wait for that.
    """
    pgconn = connection.pgconn
    with suppress(PsycopgError, OSError), socket.socket(fileno=dup(pgconn.socket)) as ours:
        ours.shutdown(socket.SHUT_RDWR)


@asynccontextmanager
async def answered_within(seconds: float, connection: AsyncConnection[Any]) -> AsyncGenerator[None]:
    """Hang up if the block still runs after `seconds`; it then sees an `OperationalError`."""
    timer = asyncio.get_running_loop().call_later(seconds, abort, connection)
    try:
        yield
    finally:
        timer.cancel()


def is_broken(connection: AsyncConnection[Any]) -> bool:
    """Whether the connection can no longer be used."""
    return connection.closed or connection.broken


def is_outage(error: PsycopgError | OSError, connection: AsyncConnection[Any]) -> bool:
    """Whether another try, perhaps on another connection, may do."""
    if not isinstance(error, PsycopgError) or is_broken(connection):
        return True
    if error.sqlstate is None:
        return isinstance(error, OperationalError)
    return error.sqlstate[:2] in _AN_OUTAGE or is_notify_queue_full(error)


def is_notify_queue_full(error: PsycopgError) -> bool:
    """Whether a commit failed because a listener of the cluster lags behind, which passes.

    It has the SQLSTATE of limits that a statement itself exceeds; its place tells them apart.
    """
    return error.sqlstate == "54000" and error.diag.source_file == "async.c"
