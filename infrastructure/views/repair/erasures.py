"""All builds of the views in Postgres, for who must know that a person is in none of them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Final, Self

import psycopg
from psycopg.errors import UndefinedTable
from psycopg.sql import SQL, Identifier
from sqlalchemy import ClauseElement, text

from application.context import TENANT
from application.erasure.coverage import ViewGeneration
from application.errors import Unavailable
from infrastructure.postgres import answered_within, connect, is_outage
from infrastructure.views.sql.reader import ViewReader
from infrastructure.views.sql.tables import table_names

_GENERATIONS: Final[ClauseElement] = text(Path(__file__).with_name("generations.sql").read_text())
# A record that makes its commit, and so this session's answer, wait for all that was committed
# before it, on a synchronous replica too: views themselves do not wait for the disk.
_FLUSH: Final = b"SELECT pg_logical_emit_message(true, 'rollbook', 'erased')"


class PostgresErasedViews:
    """See `ErasedViews`."""

    def __init__(self, database_url: str, reader: ViewReader) -> None:
        self._database_url = database_url
        self._reader = reader
        # How far each build was when it was last settled: so far it need not be done again.
        self._settled: dict[tuple[str, int], int] = {}
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str) -> AsyncGenerator[Self]:
        """With a connection of its own; nothing is connected before the first erasure."""
        async with ViewReader.open(database_url, 1) as reader:
            yield cls(database_url, reader)

    async def generations(self) -> Sequence[ViewGeneration]:
        """See `ErasedViews.generations`."""
        rows = await self._reader.rows(_GENERATIONS, {"tenant": TENANT})
        return [
            ViewGeneration(*build, positions={row[3]: row[4] for row in each})
            for build, each in groupby(rows, key=lambda row: tuple(row[:3]))
        ]

    async def settle(self, view: ViewGeneration, position: int, seconds: float) -> None:
        """See `ErasedViews.settle`."""
        async with self._one_at_a_time:
            build = (view.projection, view.generation)
            if self._settled.get(build, -1) >= position:
                return
            await self._settle(view, seconds)
            self._settled[build] = view.position

    async def _settle(self, view: ViewGeneration, seconds: float) -> None:
        # Also of a projection that this release no longer knows, and that lies there all the same.
        rows, _ = table_names(view.projection, view.generation)
        try:
            connection = await connect(self._database_url, "rollbook erasure")
        except (psycopg.OperationalError, OSError) as error:
            raise Unavailable from error
        try:
            async with connection, answered_within(seconds, connection):
                await connection.execute(SQL("ANALYZE {}").format(Identifier(rows)))
                await connection.execute(_FLUSH)
        except UndefinedTable:
            # It was dropped since: what it held is gone.
            return
        except (psycopg.Error, OSError) as error:
            if is_outage(error, connection):
                raise Unavailable from error
            raise
