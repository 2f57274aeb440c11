"""The one pool of connections of a process: opened on demand, each use limited in time."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from math import ceil
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

import msgspec
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from application.errors import Unavailable
from infrastructure.leadership import LeadingSession
from infrastructure.postgres import (
    CONNECT_SECONDS,
    Connection,
    answered_within,
    conninfo,
    is_alive,
    is_outage,
    unavailable,
)

READ_SECONDS: Final = 1.5
TRANSACTION_SECONDS: Final = 5
# A caller is told soon that the server is away.
_WAIT_SECONDS: Final = 2.0
POOL_SIZE: Final = 8
_LONG_USES: Final = 4
_IDLE_SECONDS: Final = 20.0
# Callers that wait find a server that is back within this time.
_RECONNECT_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 0.02
# As many rows are loaded in one piece; a user's may take a fifth of a millisecond.
_ROWS: Final = 25

# A commit waits for the disk even if the server's default is weaker. Rows are found by an index: a
# plan made for a small table must not scan the table when it has grown. A backend whose client has
# gone ends its statement; one that cannot know it, behind a proxy, ends it after the timeout. A client
# that froze in a transaction loses its locks.
_SETTINGS: Final = f"""
SELECT set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' WHEN 'local' THEN 'on'
                       ELSE current_setting('synchronous_commit') END, false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('client_connection_check_interval', '1s', false),
       set_config('statement_timeout', '{TRANSACTION_SECONDS}s', false),
       set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false)"""
_LIMIT: Final = "SELECT set_config('statement_timeout', %s::text || 's', false)"
# Long work reads whole tables, and has its own limits.
_LONG_SETTINGS: Final = """
SELECT set_config('application_name', current_setting('application_name') || ' ' || %s, false),
       set_config('statement_timeout', '0', false), set_config('enable_seqscan', 'on', false)"""

# The pool warns of each connection that a long use closes, also in commands that configure no log.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

Pool = AsyncConnectionPool[Connection]
Parameters = Sequence[Any] | Mapping[str, Any]


class MaybeCommitted(Unavailable):
    """The reply to COMMIT was lost or late: the transaction may have been committed."""


class Database:
    """Short uses share the pool; long ones together have at most four places, and never all."""

    def __init__(self, url: str, pool: Pool, long_uses: int) -> None:
        self.url = url
        self._pool = pool
        self.leading = LeadingSession(url)
        self._long_uses = asyncio.Semaphore(long_uses)
        # The `statement_timeout` of connections that have another one than at first.
        self._limits = WeakKeyDictionary[Connection, float]()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, size: int = POOL_SIZE) -> AsyncGenerator[Self]:
        """At most `size` connections, one of them always; it opens even if the server is away."""
        settings: dict[str, Any] = {"autocommit": True, "connect_timeout": CONNECT_SECONDS}
        pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]](
            conninfo(url, "rollbook"),
            kwargs=settings,
            min_size=1,
            max_size=size,
            max_idle=_IDLE_SECONDS,
            reconnect_timeout=_RECONNECT_SECONDS,
            reconnect_failed=_reconnect_if_needed,
            configure=_configure,
            open=False,
        )
        await pool.open()
        try:
            yield cls(url, pool, max(1, min(_LONG_USES, size - 2)))
        finally:
            await pool.close()

    @asynccontextmanager
    async def connection(
        self, seconds: float, *, limited: bool = True
    ) -> AsyncGenerator[Connection]:
        """A connection in autocommit mode for at most `seconds`; at most two of them to wait for it.

        The server ends statements after the longer of that time and `TRANSACTION_SECONDS`, unless
        `limited` is false: such a block sets `statement_timeout` in its transaction. Raises
        `Unavailable`, and the errors of queries.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        async with (
            self._taken(min(seconds, _WAIT_SECONDS)) as connection,
            answered_within(max(deadline - loop.time(), 0.01), connection),
        ):
            if limited:
                await self._limit(connection, max(ceil(seconds), TRANSACTION_SECONDS))
            yield connection

    @asynccontextmanager
    async def transaction(self, seconds: float = TRANSACTION_SECONDS) -> AsyncGenerator[Connection]:
        """Commits the whole block, or nothing of it.

        Raises `Unavailable` if nothing was committed for certain, else `MaybeCommitted`.
        """
        committing = False
        try:
            async with self.connection(seconds) as connection:
                await connection.execute("BEGIN")
                yield connection
                committing = True
                await connection.execute("COMMIT")
        except Unavailable as error:
            if committing:
                raise MaybeCommitted from error
            raise

    async def rows(
        self,
        query: str | bytes,
        parameters: Parameters = (),
        *,
        seconds: float = READ_SECONDS,
        prepare: bool = True,
        settings: bytes | None = None,
    ) -> list[TupleRow]:
        """All rows of a read, in binary; retried on other connections until the time is over.

        `settings` is executed in the same transaction and round trip. Raises `Unavailable`, and
        the errors of queries.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            try:
                async with self.connection(deadline - loop.time()) as connection:
                    return await _fetched(connection, query, parameters, prepare, settings)
            except Unavailable:
                if loop.time() >= deadline:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    @asynccontextmanager
    async def session(self, name: str) -> AsyncGenerator[Connection]:
        """A connection for long work, named in `pg_stat_activity`; it waits for one of the places.

        It is closed at the end, so that its settings end with it. Raises `Unavailable`, and the
        errors of queries.
        """
        async with self._long_uses, self._taken(_WAIT_SECONDS) as connection:
            try:
                await connection.execute(_LONG_SETTINGS, (name,))
                yield connection
            finally:
                await connection.close()

    async def _limit(self, connection: Connection, seconds: float) -> None:
        if self._limits.get(connection, TRANSACTION_SECONDS) != seconds:
            await connection.execute(_LIMIT, (seconds,))
            self._limits[connection] = seconds

    @asynccontextmanager
    async def _taken(self, seconds: float) -> AsyncGenerator[Connection]:
        try:
            connection = await self._alive(seconds)
        except PoolTimeout as error:
            raise Unavailable from error
        try:
            # Commits or rolls back what the block has left open.
            async with connection:
                yield connection
                if connection.info.transaction_status == TransactionStatus.INERROR:
                    # psycopg takes statements for prepared that a failed pipeline skipped, until
                    # a rollback.
                    await connection.rollback()
        except (psycopg.Error, OSError) as error:
            if not is_outage(error, connection):
                raise
            raise unavailable(error) from error
        finally:
            await self._pool.putconn(connection)

    async def _alive(self, seconds: float) -> Connection:
        """Replaces connections that the server has closed; the pool's own check would pause."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            connection = await self._uncancelled(max(deadline - loop.time(), 0.01))
            if is_alive(connection):
                return connection
            await connection.close()
            await self._pool.putconn(connection)

    async def _uncancelled(self, seconds: float) -> Connection:
        """The pool drops a cancellation that arrives together with the connection.

        It waits with `asyncio.wait_for`, which does so before Python 3.12.
        """
        task = asyncio.current_task()
        assert task is not None, "only tasks wait"
        requests = task.cancelling()
        connection = await self._pool.getconn(timeout=seconds)
        if task.cancelling() > requests:
            await self._pool.putconn(connection)
            raise asyncio.CancelledError
        return connection


async def _fetched(
    connection: Connection,
    query: str | bytes,
    parameters: Parameters,
    prepare: bool,
    settings: bytes | None,
) -> list[TupleRow]:
    cursor = connection.cursor(binary=True)
    statement: Any = query
    if settings is None:
        await cursor.execute(statement, parameters, prepare=prepare)
    else:
        # A pipeline in autocommit mode is one transaction.
        async with connection.pipeline():
            await connection.execute(settings, prepare=True)
            await cursor.execute(statement, parameters, prepare=prepare)
    # To load rows with JSON may take as long as to query them.
    pieces = [await cursor.fetchmany(_ROWS)]
    while len(pieces[-1]) == _ROWS:
        await asyncio.sleep(0)
        pieces.append(await cursor.fetchmany(_ROWS))
    return list(chain.from_iterable(pieces))


async def _configure(connection: Connection) -> None:
    set_json_loads(msgspec.json.decode, connection)
    await connection.execute(_SETTINGS.encode())


async def _reconnect_if_needed(pool: Pool) -> None:
    # The pool itself would reconnect only for the next caller, not for callers that already wait.
    if pool.get_stats().get("requests_waiting", 0):
        await pool.check()
