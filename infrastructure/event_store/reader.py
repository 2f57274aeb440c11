"""Reads of the log: a pool of connections, each read with a timeout."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import psycopg
from psycopg_pool import PoolTimeout

from application.errors import Unavailable
from infrastructure.event_store.event_rows import Row
from infrastructure.pool import Pool, open_pool
from infrastructure.postgres import answered_within

READ_SECONDS: Final = 1.5
_POOL_SIZE: Final = 8


class LogReader:
    """A read whose connection turns out to be dead is retried on another one until the timeout."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, size: int = _POOL_SIZE) -> AsyncGenerator[Self]:
        """A reader with its own pool; it opens even while the server is away."""
        async with open_pool(
            database_url,
            "rollbook reader",
            size=size,
            prepare_threshold=0,
            checked=False,
        ) as pool:
            yield cls(pool)

    async def rows(
        self,
        query: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        seconds: float = READ_SECONDS,
    ) -> list[Row]:
        """All rows of a query, in binary. Raises `Unavailable`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                return await self._try(query, parameters, deadline)
            except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise Unavailable from error
                await asyncio.sleep(0.02)

    async def _try(
        self, query: str, parameters: Sequence[Any] | Mapping[str, Any], deadline: float
    ) -> list[Row]:
        loop = asyncio.get_running_loop()
        remaining = max(deadline - loop.time(), 0.01)
        async with self._pool.connection(timeout=remaining) as connection:
            remaining = max(deadline - loop.time(), 0.01)
            async with answered_within(remaining, connection):
                cursor = connection.cursor(binary=True)
                await cursor.execute(query, parameters)  # pyright: ignore[reportArgumentType]
                return list(await cursor.fetchall())
