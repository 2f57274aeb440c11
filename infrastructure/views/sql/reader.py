"""Reads of the views: a pool of connections, each read with a timeout."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final, Self

import msgspec
import psycopg
from psycopg.errors import UndefinedTable
from psycopg.types.json import set_json_loads
from psycopg_pool import PoolTimeout
from sqlalchemy import ClauseElement

from application.errors import Unavailable
from infrastructure.pool import Pool, open_pool
from infrastructure.postgres import Connection, answered_within, is_outage
from infrastructure.views.sql.statements import Statement

_READ_SECONDS: Final = 1.5
_RETRY_SECONDS: Final = 0.02
_POOL_SIZE: Final = 8
# Each read must use an index, even if the planner's statistics are stale because a table has grown.
# The rows to return may be sorted, the rows to choose from may not.
SETTINGS: Final = """
SELECT set_config('timezone', 'UTC', false), set_config('jit', 'off', false),
       set_config('enable_seqscan', 'off', false), set_config('enable_sort', 'off', false),
       set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false)"""


class TableGone(Exception):
    """A generation was dropped since it was last read as the serving one."""


class ViewReader:
    """Retries a read until its timeout, on another connection if one was lost."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, size: int = _POOL_SIZE) -> AsyncGenerator[Self]:
        """A reader with its own pool; it connects at the first read."""
        async with open_pool(
            database_url, "rollbook queries", size=size, checked=False, configure=_configure
        ) as pool:
            yield cls(pool)

    async def rows(
        self,
        statement: ClauseElement,
        parameters: Mapping[str, Any] | None = None,
        *,
        planned_for_values: bool = False,
    ) -> Sequence[Sequence[Any]]:
        """All rows of a query. Raises `Unavailable` and `TableGone`.

        The server reuses the plan for other values, unless `planned_for_values`. The compiled SQL
        is cached by statement object: callers pass the same object each time.
        """
        deadline = asyncio.get_running_loop().time() + _READ_SECONDS
        made = _as_sql(statement)
        values = {**made.constants, **(parameters or {})}
        while True:
            try:
                return await self._try(made.sql, values, deadline, planned_for_values)
            except Unavailable:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
            except UndefinedTable as error:
                raise TableGone(TableGone.__doc__) from error

    async def _try(
        self, sql: bytes, values: Mapping[str, Any], deadline: float, planned_for_values: bool
    ) -> Sequence[Sequence[Any]]:
        connection = None
        remaining = max(deadline - asyncio.get_running_loop().time(), 0.01)
        try:
            async with self._pool.connection(timeout=remaining) as connection:
                remaining = max(deadline - asyncio.get_running_loop().time(), 0.01)
                async with answered_within(remaining, connection):
                    cursor = connection.cursor(binary=True)
                    # The server plans an unprepared statement for its values.
                    await cursor.execute(sql, values, prepare=not planned_for_values)
                    return await cursor.fetchall()
        except PoolTimeout as error:
            raise Unavailable from error
        except (psycopg.Error, OSError) as error:
            if connection is not None and not is_outage(error, connection):
                raise
            raise Unavailable from error


@lru_cache(1024)
def _as_sql(statement: ClauseElement) -> Statement:
    return Statement.of(statement)


async def _configure(connection: Connection) -> None:
    set_json_loads(msgspec.json.decode, connection)
    await connection.execute(SETTINGS)
