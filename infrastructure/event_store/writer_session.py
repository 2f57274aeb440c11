"""The writer's connection: one per process; a lost session is ended before a new one is used."""

import asyncio
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg.errors import Diagnostic
from structlog import get_logger

from application.context import TENANT
from application.log.high_water import Marks
from infrastructure.event_store.append_requests import (
    APPEND,
    APPEND_TO_LOG,
    AppendRequest,
    AppendResult,
    append_results,
    batch_payload,
)
from infrastructure.event_store.watch import HighWater, LogMoved, check_not_moved
from infrastructure.postgres import (
    Connection,
    abort,
    answered_within,
    connect,
    is_alive,
    is_broken,
)

_REPLY_SECONDS: Final = 1.5
_PREPARE_SECONDS: Final = 2.0

# A backend whose client has gone ends itself, even while it waits for the lock.
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
    """The connection was lost before the reply: the batch may have been recorded or not."""


class NotConnected(Exception):
    """No writable connection could be opened: nothing of the batch was recorded."""


class WriterSession:
    """Sends batches to the append function over one connection at a time.

    Without a `high_water` it accepts any log.
    """

    def __init__(self, database_url: str, *, high_water: HighWater | None = None) -> None:
        self._database_url = database_url
        self._high_water = high_water
        self._is_marked = False
        self._connection: Connection | None = None
        self._identity: tuple[int, object] | None = None
        self._lost: list[tuple[int, object]] = []
        self._is_unreplicated = False

    async def ready(self) -> None:
        """Connect if needed, and end every lost session of ours. Raises `NotConnected`."""
        if self._connection is not None:
            if is_alive(self._connection):
                return
            self._drop()
        high_water = self._high_water
        known: Marks = {}
        if high_water is not None:
            known = await high_water.read(high_water.identity.id)
        try:
            connection = await connect(self._database_url, "rollbook writer")
        except (psycopg.Error, OSError) as error:
            raise NotConnected(str(NotConnected.__doc__)) from error
        connection.add_notice_handler(self._notice)
        try:
            async with answered_within(_PREPARE_SECONDS, connection):
                cursor = await connection.execute(_SETTINGS)
                row = await cursor.fetchone()
                assert row is not None
                if row[5] == "on":
                    raise psycopg.errors.ReadOnlySqlTransaction("a standby, or a setting")
                # A lost session must not record a batch that is sent again here. So it is
                # terminated before anything else is sent; a backend checks for termination before
                # each statement of the append function.
                while self._lost:
                    await connection.execute(_END_SESSION, self._lost[-1])
                    self._lost.pop()
                # After a restore or a failover nothing is recorded at positions that were used.
                if high_water is not None:
                    await check_not_moved(connection, high_water, known)
        except (psycopg.Error, OSError, LogMoved) as error:
            abort(connection)
            await connection.close()
            raise NotConnected(str(NotConnected.__doc__)) from error
        self._connection = connection
        self._is_marked = False
        self._identity = (row[3], row[4])

    async def send(self, items: Sequence[AppendRequest]) -> list[AppendResult | Exception]:
        """The results of a batch.

        Raises `ConnectionLost` without a reply, `NotConnected` if the session turns out to be
        read-only or the log was replaced, and any other error if the server refused the whole
        batch: then nothing of it was recorded.
        """
        connection = self._connection
        assert connection is not None, "call ready() first"
        statement, parameters = APPEND, (TENANT, batch_payload(items))
        if self._high_water is not None:
            table = self._high_water.identity.place.table
            statement, parameters = APPEND_TO_LOG, (table, self._high_water.head, *parameters)
        self._is_unreplicated = False
        try:
            async with answered_within(_REPLY_SECONDS, connection):
                cursor = await connection.execute(statement, parameters, prepare=True)
                row = await cursor.fetchone()
        except psycopg.errors.ReadOnlySqlTransaction as error:
            # The server became a standby, or the session began under a read-only default.
            await self.close()
            raise NotConnected(str(NotConnected.__doc__)) from error
        except BaseException as error:
            if is_broken(connection) or isinstance(error, asyncio.CancelledError):
                self._drop()
            if self._connection is None and isinstance(error, Exception):
                raise ConnectionLost(str(ConnectionLost.__doc__)) from error
            raise
        if self._is_unreplicated:
            # Sent again, the batch waits for the replica again.
            self._drop()
            raise ConnectionLost(str(ConnectionLost.__doc__))
        assert row is not None
        if row[0] is None:
            await self.close()
            raise NotConnected(str(NotConnected.__doc__))
        results = append_results(row[0], items)
        if self._high_water is not None:
            recorded = (each.position for each in results if isinstance(each, AppendResult))
            self._high_water.committed(max(recorded, default=0))
            if not self._is_marked:
                # A copy of the server's files was made before this connection began: from its first
                # answered command on, the mark shows that such a copy is old.
                await self._high_water.write()
                self._is_marked = True
        return results

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _notice(self, diagnostic: Diagnostic) -> None:
        """A cancelled wait for the synchronous replica is reported as a success, with a warning."""
        if diagnostic.source_function == "SyncRepWaitForLSN":
            self._is_unreplicated = True

    def _drop(self) -> None:
        if self._connection is not None:
            log.warning("writer_connection_lost")
            abort(self._connection)
            self._connection.pgconn.finish()
            self._connection = None
        if self._identity is not None:
            self._lost.append(self._identity)
            self._identity = None
