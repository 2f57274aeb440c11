"""Pools of connections to Postgres: opened on demand, and usable again soon after an outage."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from application.errors import Unavailable
from infrastructure.postgres import (
    CONNECT_SECONDS,
    Connection,
    answered_within,
    conninfo,
    is_outage,
)

_IDLE_SECONDS: Final = 60.0
# Callers that wait find a server that is back within this time.
_RETRY_SECONDS: Final = 0.5

Pool = AsyncConnectionPool[Connection]


@asynccontextmanager
async def open_pool(
    database_url: str,
    name: str,
    *,
    size: int,
    min_size: int = 0,
    autocommit: bool = True,
    prepare_threshold: int | None = 5,
    checked: bool = True,
    configure: Callable[[Connection], Awaitable[None]] | None = None,
) -> AsyncGenerator[Pool]:
    """At most `size` connections of sessions called `name`; opens even if the server is away.

    `min_size` connections stay open when the pool is idle. `checked`: a connection that the server
    has closed is replaced before use, which costs a round trip each time.
    """
    settings: dict[str, Any] = {
        "autocommit": autocommit,
        "connect_timeout": CONNECT_SECONDS,
        "prepare_threshold": prepare_threshold,
    }
    pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]](
        conninfo(database_url, name),
        kwargs=settings,
        min_size=min_size,
        max_size=size,
        max_idle=_IDLE_SECONDS,
        reconnect_timeout=_RETRY_SECONDS,
        reconnect_failed=_reconnect_if_needed,
        configure=configure,
        check=AsyncConnectionPool.check_connection if checked else None,
        open=False,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def _reconnect_if_needed(pool: Pool) -> None:
    # The pool itself would reconnect only for the next caller, not for callers that already wait.
    if pool.get_stats().get("requests_waiting", 0):
        await pool.check()


@asynccontextmanager
async def available(pool: Pool, seconds: float) -> AsyncGenerator[Connection]:
    """A connection for at most `seconds`. Raises `Unavailable`, and the errors of queries."""
    connection = None
    try:
        async with (
            pool.connection(timeout=seconds) as connection,
            answered_within(seconds, connection),
        ):
            yield connection
    except PoolTimeout as error:
        raise Unavailable from error
    except (psycopg.Error, OSError) as error:
        if connection is not None and not is_outage(error, connection):
            raise
        raise Unavailable from error
