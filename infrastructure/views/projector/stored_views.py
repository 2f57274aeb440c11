"""Reads the view of one stream in each generation."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ClauseElement, bindparam, select, text

from application.context import TENANT
from application.projector.stored_views import StoredView
from application.projector.view_store import Slot
from infrastructure.database import Database
from infrastructure.views.sql.reader import TableGone, ViewReader
from infrastructure.views.sql.rows import RowFormat
from infrastructure.views.sql.shapes import Shapes
from infrastructure.views.sql.statements import columns_of
from infrastructure.views.sql.tables import tables_of
from projections.projection import Projection

# Those that are being filled have no index yet.
_GENERATIONS: Final = text("""
SELECT g.generation, g.generation = p.generation
FROM generations g JOIN projections p ON p.tenant = g.tenant AND p.name = g.projection
WHERE g.tenant = :tenant AND g.projection = :name AND g.state = 'following'""")


class PostgresStoredViews:
    """See `StoredViews`; of the projections it is given."""

    def __init__(self, database: Database, projections: Iterable[Projection[Any]]) -> None:
        self._reader = ViewReader(database)
        self._shapes = Shapes(database)
        self._projections = {projection.name: projection for projection in projections}

    async def views(self, projection: str, stream: UUID) -> Sequence[StoredView]:
        found = await self._reader.rows(_GENERATIONS, {"tenant": TENANT, "name": projection})
        views: list[StoredView] = []
        for generation, serves in sorted(map(tuple, found), reverse=True):
            try:
                slot = await self._shapes.slot(self._projections[projection], generation)
                rows = await self._reader.rows(_statement(slot), {"id": stream}, by_key=True)
            except TableGone:
                # It was dropped meanwhile.
                continue
            entry = RowFormat(slot).entries(rows).get(stream)
            views.append(
                StoredView(
                    generation=generation,
                    serving=serves,
                    version=0 if entry is None else entry.version,
                    view=None if entry is None else entry.view,
                )
            )
        return views


@cache
def _statement(slot: Slot[Any]) -> ClauseElement:
    return select(*columns_of(slot)).where(tables_of(slot).rows.c.id == bindparam("id"))
