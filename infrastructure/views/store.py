"""The views in Postgres: who leads a slot writes it; anybody may look at all of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg import IsolationLevel
from sqlalchemy import func, select

from application.errors import Unavailable
from application.follower import NotLeading
from application.views import Slot, Snapshot, ViewWriter
from infrastructure.postgres import Connection, connect
from infrastructure.views.catalogue import PARKED, parked_of
from infrastructure.views.failures import judging
from infrastructure.views.rows import RowForm
from infrastructure.views.session import lead_session
from infrastructure.views.statements import Statement, columns_of, statements_of
from infrastructure.views.tables import tables_of
from infrastructure.views.writer import PostgresViewWriter
from projections.projection import V


class PostgresViewStore:
    """See `ViewStore`. Each lead is a direct connection of its own: locks belong to sessions."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    @asynccontextmanager
    async def lead(self, slot: Slot[V]) -> AsyncGenerator[ViewWriter[V]]:
        """See `ViewStore.lead`."""
        async with lead_session(self._database_url, slot) as session:
            with judging(session.connection):
                position = await _position(session.connection, slot)
            yield PostgresViewWriter(session, slot, position)

    async def snapshot(self, slot: Slot[V]) -> Snapshot[V]:
        """See `ViewStore.snapshot`."""
        try:
            async with await connect(self._database_url, "rollbook verify") as connection:
                await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
                async with connection.transaction():
                    return await _snapshot(connection, slot)
        except (psycopg.OperationalError, OSError) as error:
            raise Unavailable from error


async def _snapshot(connection: Connection, slot: Slot[V]) -> Snapshot[V]:
    tables = tables_of(slot.projection, slot.generation)
    mine = tables.rows.c.partition == slot.partition
    rows = await _fetch(connection, Statement.of(select(*columns_of(slot)).where(mine)))
    parked = (
        select(PARKED.c.stream, func.min(PARKED.c.version))
        .where(parked_of(slot))
        .group_by(PARKED.c.stream)
    )
    counters: dict[str, int] = {}
    if tables.counters is not None:
        c = tables.counters.c
        counts = select(c.counter, c.value).where(c.partition == slot.partition, c.value != 0)
        counters = dict(await _fetch(connection, Statement.of(counts)))
    return Snapshot[V](
        position=await _position(connection, slot),
        entries=RowForm(slot).entries(rows),
        counters=counters,
        parked=_of_slot(slot, dict(await _fetch(connection, Statement.of(parked)))),
    )


def _of_slot(slot: Slot[Any], parked: dict[UUID, int]) -> dict[UUID, int]:
    return {stream: version for stream, version in parked.items() if slot.holds(stream)}


async def _position(connection: Connection, slot: Slot[Any]) -> int:
    rows = await _fetch(connection, statements_of(slot).position)
    if not rows:
        # The generation was dropped since this process learned of it.
        raise NotLeading(NotLeading.__doc__)
    return rows[0][0]


async def _fetch(connection: Connection, statement: Statement) -> list[Any]:
    cursor = await connection.execute(statement.sql, statement.constants, binary=True)
    return list(await cursor.fetchall())
