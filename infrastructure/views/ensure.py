"""Makes what the projectors need at a start: tables, checkpoints and which generation serves."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final

import psycopg
from sqlalchemy import Table, and_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateIndex, CreateTable

from application.context import TENANT
from application.errors import Unavailable
from application.views import Slot
from infrastructure.postgres import Connection, connect
from infrastructure.views.catalogue import CHECKPOINTS, PROJECTIONS
from infrastructure.views.statements import Statement
from infrastructure.views.tables import tables_of
from projections.projection import Projection

_LOCK: Final = (1383034987, 3)
_POLL_SECONDS: Final = 0.05
_FIRST_GENERATION: Final = 1


class EnsureBusy(Exception):
    """Another process is making the tables of the views and did not finish in time."""


async def ensure_views(
    database_url: str, projections: Iterable[Projection[Any]], *, patience: float = 60.0
) -> list[Slot[Any]]:
    """The slots to project, with all their tables there; several processes may call it at once.

    Needs the tables of the migrations. Raises `Unavailable`, or `EnsureBusy` after `patience`
    seconds.
    """
    try:
        async with await connect(database_url, "rollbook ensure") as connection:
            await _lock(connection, patience)
            async with connection.transaction():
                return [
                    slot
                    for projection in projections
                    for slot in await _ensure(connection, projection)
                ]
    except (psycopg.OperationalError, OSError) as error:
        raise Unavailable from error


async def _lock(connection: Connection, patience: float) -> None:
    """Polled outside a transaction: a waiter inside one would hold up CREATE INDEX CONCURRENTLY."""
    deadline = time.monotonic() + patience
    while True:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", _LOCK)
        row = await cursor.fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() > deadline:
            raise EnsureBusy(EnsureBusy.__doc__)
        await asyncio.sleep(_POLL_SECONDS)


async def _ensure(connection: Connection, projection: Projection[Any]) -> list[Slot[Any]]:
    generation = await _serving_generation(connection, projection)
    for table in tables_of(projection, generation).all:
        await _create(connection, table)
    slots = [Slot(projection, generation, partition) for partition in range(projection.partitions)]
    for slot in slots:
        await _execute(connection, _checkpoint(slot))
    return slots


async def _create(connection: Connection, table: Table) -> None:
    """What is missing only: CREATE INDEX waits for whoever writes, even where the index exists."""
    if await _is_missing(connection, table.name):
        await _execute(connection, CreateTable(table))
    for index in table.indexes:
        if await _is_missing(connection, str(index.name)):
            await _execute(connection, CreateIndex(index))


async def _is_missing(connection: Connection, name: str) -> bool:
    cursor = await connection.execute("SELECT to_regclass(quote_ident(%s)) IS NULL", (name,))
    row = await cursor.fetchone()
    return row is not None and row[0]


async def _serving_generation(connection: Connection, projection: Projection[Any]) -> int:
    first = {"tenant": TENANT, "name": projection.name, "generation": _FIRST_GENERATION}
    await _execute(connection, insert(PROJECTIONS).values(first).on_conflict_do_nothing())
    mine = and_(PROJECTIONS.c.tenant == TENANT, PROJECTIONS.c.name == projection.name)
    statement = Statement.of(select(PROJECTIONS.c.generation).where(mine))
    row = await (await connection.execute(statement.sql, statement.constants)).fetchone()
    assert row is not None
    return row[0]


def _checkpoint(slot: Slot[Any]) -> Any:
    values = {
        "tenant": TENANT,
        "projection": slot.projection.name,
        "generation": slot.generation,
        "partition": slot.partition,
        "position": 0,
    }
    return insert(CHECKPOINTS).values(values).on_conflict_do_nothing()


async def _execute(connection: Connection, clause: Any) -> None:
    statement = Statement.of(clause)
    # Without parameters a statement is sent as it is: DDL takes none.
    await connection.execute(statement.sql, statement.constants or None)
