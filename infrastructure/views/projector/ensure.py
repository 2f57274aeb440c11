"""Creates what projectors need at the start: tables, checkpoints and the serving generation."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final

import psycopg
from psycopg.errors import LockNotAvailable

from application.context import TENANT
from application.errors import Unavailable
from application.projector.view_store import Slot
from infrastructure.postgres import Connection, connect
from infrastructure.views.sql.ddl import create, is_missing
from infrastructure.views.sql.tables import tables_of
from projections.projection import Projection

_LOCK: Final = (1383034987, 3)
# A process that freezes loses the lock: the server ends its session.
_SETTINGS: Final = """
SELECT set_config('idle_session_timeout', '5s', false),
       set_config('idle_in_transaction_session_timeout', '5s', false)"""
_POLL_SECONDS: Final = 0.05
# All other sessions queue behind a session that waits for a table's lock, so it waits only briefly,
# and leaves them much more time before it tries again.
_LOCK_PAUSE_SECONDS: Final = 1.0
_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '200ms'"
_FIRST_GENERATION: Final = 1
_SERVE: Final = """
INSERT INTO projections (tenant, name, generation) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"""
_SERVING: Final = "SELECT generation FROM projections WHERE (tenant, name) = (%s, %s)"
_CHECKPOINT: Final = """
INSERT INTO checkpoints (tenant, projection, generation, partition, position)
VALUES (%s, %s, %s, 0, 0) ON CONFLICT DO NOTHING"""
_ENTER: Final = """
INSERT INTO generations (tenant, projection, generation, partitions, state, served_at, revision)
VALUES (%s, %s, %s, 1, 'following', now(), %s) ON CONFLICT DO NOTHING"""


class EnsureBusy(Exception):
    """Another process creates or reads the tables of the views and did not finish in time."""


async def ensure_views(
    database_url: str, projections: Iterable[Projection[Any]], *, timeout_seconds: float = 60.0
) -> list[Slot[Any]]:
    """Creates the tables of projections that have none, and returns the serving slots.

    Existing tables stay as they are: a rebuild adds new columns. Several processes may call it at
    once. Needs the tables of the migrations. Raises `Unavailable`, or `EnsureBusy` after
    `timeout_seconds`.
    """
    projections = tuple(projections)
    deadline = time.monotonic() + timeout_seconds
    try:
        async with await connect(database_url, "rollbook ensure") as connection:
            await connection.execute(_SETTINGS)
            await _lock(connection, deadline)
            while True:
                try:
                    async with connection.transaction():
                        await connection.execute(_LOCK_TIMEOUT)
                        return [await _ensure(connection, each) for each in projections]
                except LockNotAvailable:
                    await _pause(deadline, _LOCK_PAUSE_SECONDS)
    except (psycopg.OperationalError, OSError) as error:
        raise Unavailable from error


async def _lock(connection: Connection, deadline: float) -> None:
    """Polls outside a transaction: a waiting transaction would block CREATE INDEX CONCURRENTLY."""
    while True:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", _LOCK)
        row = await cursor.fetchone()
        if row is not None and row[0]:
            return
        await _pause(deadline)


async def _pause(deadline: float, seconds: float = _POLL_SECONDS) -> None:
    if time.monotonic() > deadline:
        raise EnsureBusy(EnsureBusy.__doc__)
    await asyncio.sleep(seconds)


async def _ensure(connection: Connection, projection: Projection[Any]) -> Slot[Any]:
    generation = await _serving_generation(connection, projection)
    slot = Slot(projection, generation)
    tables = tables_of(slot)
    if await is_missing(connection, tables.rows.name):
        for table in tables.all:
            await create(connection, table)
    entry = (TENANT, projection.name, generation)
    await connection.execute(_ENTER, (*entry, projection.revision))
    await connection.execute(_CHECKPOINT, entry)
    return slot


async def _serving_generation(connection: Connection, projection: Projection[Any]) -> int:
    await connection.execute(_SERVE, (TENANT, projection.name, _FIRST_GENERATION))
    row = await (await connection.execute(_SERVING, (TENANT, projection.name))).fetchone()
    assert row is not None
    return row[0]
