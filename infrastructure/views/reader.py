"""Reads of the views through SQLAlchemy: a pool of connections, each read bounded in time."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self, cast

import msgspec
from psycopg.errors import UndefinedTable
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.sql import Executable

from application.errors import Unavailable
from infrastructure.postgres import Connection, answered_within, connect

_READ_SECONDS: Final = 1.5
_RETRY_SECONDS: Final = 0.02
_POOL_SIZE: Final = 8
# Each read finds what it looks for by index, whatever the planner thinks of tables that have grown
# since it saw them last; what it is to return may be sorted, what it is to choose from may not.
SETTINGS: Final = """
SELECT set_config('timezone', 'UTC', false), set_config('jit', 'off', false),
       set_config('enable_seqscan', 'off', false), set_config('enable_sort', 'off', false),
       set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false)"""


class TableGone(Exception):
    """A generation was dropped since it was last seen to serve."""


class ViewReader:
    """A read is tried again while there is time, on another connection where one was lost."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, size: int = _POOL_SIZE) -> AsyncGenerator[Self]:
        """A reader with a pool of its own; nothing is connected before the first read."""

        async def connection() -> Connection:
            connection = await connect(database_url, "rollbook queries")
            await connection.execute(SETTINGS)
            return connection

        engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=connection,
            # One statement, one round trip: there is no BEGIN, and so nothing to reset.
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            pool_size=size,
            max_overflow=0,
            pool_timeout=_READ_SECONDS,
            json_deserializer=msgspec.json.decode,
        )
        try:
            yield cls(engine)
        finally:
            await engine.dispose()

    async def rows(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        planned_for_values: bool = False,
    ) -> Sequence[Sequence[Any]]:
        """All rows of a query. Raises `Unavailable` and `TableGone`.

        Its plan is kept for other values, unless it is to be `planned_for_values` at hand.
        """
        deadline = asyncio.get_running_loop().time() + _READ_SECONDS
        while True:
            try:
                return await self._try(statement, parameters, deadline, planned_for_values)
            except (OperationalError, InterfaceError, PoolTimeout) as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise Unavailable from error
                await asyncio.sleep(_RETRY_SECONDS)
            except ProgrammingError as error:
                if isinstance(error.orig, UndefinedTable):
                    raise TableGone(TableGone.__doc__) from error
                raise

    async def _try(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | None,
        deadline: float,
        planned_for_values: bool,
    ) -> Sequence[Sequence[Any]]:
        async with self._engine.connect() as connection:
            driver = cast("Connection", (await connection.get_raw_connection()).driver_connection)
            # The server plans what is not prepared for the values that come with it.
            driver.prepare_threshold = None if planned_for_values else 0
            left = max(deadline - asyncio.get_running_loop().time(), 0.01)
            async with answered_within(left, driver):
                result = await connection.execute(statement, parameters)
                return result.all()
