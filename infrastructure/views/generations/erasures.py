"""All generations of the views in Postgres, for proving that a person is in none of them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from psycopg.errors import UndefinedTable
from psycopg.sql import SQL, Identifier
from sqlalchemy import ClauseElement, text

from application.context import TENANT
from application.erasure.erased_views import ViewGeneration
from infrastructure.database import Database
from infrastructure.views.sql.reader import ViewReader
from infrastructure.views.sql.tables import table_names
from projections.users import USERS

_GENERATIONS: Final[ClauseElement] = text(Path(__file__).with_name("generations.sql").read_text())
_DROPPED: Final[ClauseElement] = text("""
SELECT generation FROM generations
WHERE tenant = :tenant AND projection = :name AND state = 'dropped'
    AND touched_at > clock_timestamp() - make_interval(secs => :seconds)""")
# Commits of views do not wait for the disk. This WAL record does, so after its commit all earlier
# commits are durable, too, also on a synchronous replica.
_FLUSH: Final = b"SELECT pg_logical_emit_message(true, 'rollbook', 'erased')"


class PostgresErasedViews:
    """See `ErasedViews`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reader = ViewReader(database)
        # The position up to which each generation is finished: up to it nothing is done again.
        self._finished: dict[tuple[str, int], int] = {}
        self._one_at_a_time = asyncio.Lock()

    async def generations(self) -> Sequence[ViewGeneration]:
        rows = await self._reader.rows(_GENERATIONS, {"tenant": TENANT})
        return [ViewGeneration(*row) for row in rows]

    async def dropped_since(self, seconds: int) -> Sequence[int]:
        given = {"tenant": TENANT, "name": USERS.name, "seconds": seconds}
        return [generation for (generation,) in await self._reader.rows(_DROPPED, given)]

    async def finish_erasure(self, view: ViewGeneration, position: int, seconds: float) -> None:
        async with self._one_at_a_time:
            build = (view.projection, view.generation)
            if self._finished.get(build, -1) >= position:
                return
            await self._finish(view, seconds)
            self._finished[build] = view.position

    async def _finish(self, view: ViewGeneration, seconds: float) -> None:
        # The tables may belong to a projection that this release no longer knows.
        rows, _ = table_names(view.projection, view.generation)
        try:
            async with self._database.connection(seconds) as connection:
                await connection.execute(SQL("ANALYZE {}").format(Identifier(rows)))
                await connection.execute(_FLUSH)
        except UndefinedTable:
            # The generation was dropped since, with all its data.
            return
