"""Pools of connections to Postgres: made as they are asked for, found again soon after an outage."""

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
# A server that is back is found within so many seconds by whoever waits for it.
_RETRY_SECONDS: Final = 0.5

Pool = AsyncConnectionPool[Connection]


@asynccontextmanager
async def open_pool(
    database_url: str,
    name: str,
    *,
    size: int,
    least: int = 0,
    autocommit: bool = True,
    prepare_threshold: int | None = 5,
    checked: bool = True,
    configure: Callable[[Connection], Awaitable[None]] | None = None,
    mark: str = "",
) -> AsyncGenerator[Pool]:
    """At most `size` connections of sessions called `name`; opens while the server is away, too.

    `least` stay where nobody asks for any, once there were as many. `checked`: one that the server has closed meanwhile is replaced before it is used, which costs a
    round trip each time. `mark` is the end of the sessions' names.
    """
    settings: dict[str, Any] = {
        "autocommit": autocommit,
        "connect_timeout": CONNECT_SECONDS,
        "prepare_threshold": prepare_threshold,
    }
    pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]](
        conninfo(database_url, name, mark),
        kwargs=settings,
        min_size=least,
        max_size=size,
        max_idle=_IDLE_SECONDS,
        reconnect_timeout=_RETRY_SECONDS,
        reconnect_failed=_try_on,
        configure=configure,
        check=AsyncConnectionPool.check_connection if checked else None,
        open=False,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def _try_on(pool: Pool) -> None:
    # Alone the pool would connect again for the next caller only, not for those who wait already.
    if pool.get_stats().get("requests_waiting", 0):
        await pool.check()


@asynccontextmanager
async def available(pool: Pool, seconds: float) -> AsyncGenerator[Connection]:
    """A connection for at most `seconds`. Raises `Unavailable`, and what the server says of a query."""
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
