"""The views in Postgres: the leader of a slot writes its views."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from application.log.follower import NotLeading
from application.projector.view_store import Slot, ViewWriter
from infrastructure.database import Database
from infrastructure.views.projector.writer import PostgresViewWriter
from infrastructure.views.sql.slot_lock import lead_name
from infrastructure.views.sql.statements import statements_of
from projections.projection import V


class PostgresViewStore:
    """See `ViewStore`. The process's leading session holds the locks; pages use the pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def lead(self, slot: Slot[V]) -> AsyncGenerator[ViewWriter[V]]:
        """See `ViewStore.lead`."""
        async with self._database.leading.lead(
            lead_name(slot.projection.name, slot.generation)
        ) as lead:
            position = await self._position(slot)
            yield PostgresViewWriter(self._database, lead, slot, position)

    async def _position(self, slot: Slot[Any]) -> int:
        statement = statements_of(slot).position
        rows = await self._database.rows(statement.sql, statement.constants)
        if not rows:
            # The generation was dropped since this process read it.
            raise NotLeading(NotLeading.__doc__)
        return rows[0][0]
