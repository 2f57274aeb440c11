"""Reads entries of a slot with its position, for copies of the views such as the cache."""

from collections.abc import Collection
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ClauseElement, Uuid, and_, bindparam, func, select, true

from application.cache.ports import EntriesAt
from application.errors import Unavailable
from application.projector.view_store import Slot
from infrastructure.views.sql.catalogue import CHECKPOINTS, checkpoint_of
from infrastructure.views.sql.reader import TableGone, ViewReader
from infrastructure.views.sql.rows import RowFormat
from infrastructure.views.sql.statements import columns_of
from infrastructure.views.sql.tables import tables_of
from projections.projection import V


class PostgresViewEntries:
    """See `ViewEntries`. One statement reads rows, position and repairs."""

    def __init__(self, reader: ViewReader) -> None:
        self._reader = reader

    async def entries(self, slot: Slot[V], streams: Collection[UUID]) -> EntriesAt[V]:
        statement = _statement(slot)
        try:
            rows = await self._reader.rows(statement, {"streams": list(streams)})
        except TableGone as error:
            raise Unavailable from error
        if not rows:
            raise Unavailable
        entries = RowFormat(slot).entries([row[2:] for row in rows if row[2] is not None])
        return EntriesAt(rows[0][0], rows[0][1], entries)


@cache
def _statement(slot: Slot[Any]) -> ClauseElement:
    """The position, the repairs, then each entry's columns; these are NULL if there is no entry."""
    rows = tables_of(slot).rows
    wanted = rows.c.id == func.any(bindparam("streams", type_=ARRAY(Uuid())))
    return (
        select(CHECKPOINTS.c.position, CHECKPOINTS.c.repairs, *columns_of(slot))
        .select_from(CHECKPOINTS)
        .outerjoin(rows, and_(true(), wanted))
        .where(checkpoint_of(slot))
    )
