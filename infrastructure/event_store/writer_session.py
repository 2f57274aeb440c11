"""The writer's connection: one a process, replaced when lost, the old one ended before it matters."""

import asyncio
from collections.abc import Sequence
from typing import Final

import psycopg
from structlog import get_logger

from application.context import TENANT
from infrastructure.event_store.append_items import (
    APPEND,
    AppendResult,
    Item,
    append_results,
    batch_payload,
)
from infrastructure.event_store.identity import LogIdentity, LogMoved, check_unmoved
from infrastructure.postgres import Connection, abort, answered_within, connect, is_broken

_REPLY_SECONDS: Final = 1.5
_PREPARE_SECONDS: Final = 2.0

# A backend whose client has gone, or that waits for the lock behind a frozen one, ends itself.
_SETTINGS: Final = """
SELECT set_config('client_connection_check_interval', '1000', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' WHEN 'local' THEN 'on'
                       ELSE current_setting('synchronous_commit') END, false),
       pg_backend_pid(), (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
       current_setting('transaction_read_only')
"""

_END_SESSION: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s
"""

log = get_logger(__name__)


class ConnectionLost(Exception):
    """The connection went before the answer came: the batch may have been recorded, or not."""


class NotConnected(Exception):
    """No connection that may write could be made: nothing of the batch was recorded."""


class WriterSession:
    """Sends batches to the append function over one connection at a time.

    Its sessions' names end with `mark`. Without the `identity` any log will do.
    """

    def __init__(
        self, database_url: str, *, mark: str = "", identity: LogIdentity | None = None
    ) -> None:
        self._database_url = database_url
        self._log_identity = identity
        self._mark = mark
        self._connection: Connection | None = None
        self._identity: tuple[int, object] | None = None
        self._lost: list[tuple[int, object]] = []

    async def ready(self) -> None:
        """Be connected, with every lost session of ours ended. Raises `NotConnected`."""
        if self._connection is not None:
            if self._is_alive(self._connection):
                return
            self._drop()
        try:
            connection = await connect(self._database_url, "rollbook writer", self._mark)
        except (psycopg.Error, OSError) as error:
            raise NotConnected(str(NotConnected.__doc__)) from error
        try:
            async with answered_within(_PREPARE_SECONDS, connection):
                cursor = await connection.execute(_SETTINGS)
                row = await cursor.fetchone()
                assert row is not None
                if row[5] == "on":
                    raise psycopg.errors.ReadOnlySqlTransaction("a standby, or a setting")
                # An orphan of ours must not act on a batch that has been judged anew since: it
                # is told to end before anything else is sent, and a backend looks for that order
                # before each statement of the append function.
                while self._lost:
                    await connection.execute(_END_SESSION, self._lost[-1])
                    self._lost.pop()
                # Nothing is recorded at positions that were given out before a failover.
                if self._log_identity is not None:
                    await check_unmoved(connection, self._log_identity)
        except (psycopg.Error, OSError, LogMoved) as error:
            abort(connection)
            await connection.close()
            raise NotConnected(str(NotConnected.__doc__)) from error
        self._connection = connection
        self._identity = (row[3], row[4])

    async def send(self, items: Sequence[Item]) -> list[AppendResult | Exception]:
        """The append_results on a batch.

        Raises `ConnectionLost` where no answer came, `NotConnected` where the session turns out to
        be one that may only read, and any other error where the server refused the batch as a
        whole: then nothing of it was recorded.
        """
        connection = self._connection
        assert connection is not None, "ready() comes first"
        payload = batch_payload(items)
        try:
            async with answered_within(_REPLY_SECONDS, connection):
                cursor = await connection.execute(APPEND, (TENANT, payload), prepare=True)
                row = await cursor.fetchone()
        except psycopg.errors.ReadOnlySqlTransaction as error:
            # A standby by now, or a setting of sessions that began before it was taken back.
            await self.close()
            raise NotConnected(str(NotConnected.__doc__)) from error
        except BaseException as error:
            if is_broken(connection) or isinstance(error, asyncio.CancelledError):
                self._drop()
            if self._connection is None and isinstance(error, Exception):
                raise ConnectionLost(str(ConnectionLost.__doc__)) from error
            raise
        assert row is not None
        return append_results(row[0], items)

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _is_alive(self, connection: Connection) -> bool:
        """Whether the peer still seems there: nothing is sent while a batch can yet be kept back."""
        if is_broken(connection):
            return False
        try:
            # Reads what lies in the socket without waiting: a server that went left its farewell
            # there, and then the end of file.
            for _ in range(2):
                connection.pgconn.consume_input()
                connection.pgconn.is_busy()
        except psycopg.Error:
            return False
        return not is_broken(connection)

    def _drop(self) -> None:
        if self._connection is not None:
            log.warning("writer_connection_lost")
            abort(self._connection)
            self._connection.pgconn.finish()
            self._connection = None
        if self._identity is not None:
            self._lost.append(self._identity)
            self._identity = None
