"""Parked streams in Postgres, and the lock to repair one."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from application.context import TENANT
from application.projector.view_store import Slot
from infrastructure.database import Database
from infrastructure.postgres import Connection
from infrastructure.views.projector.locked_stream import (
    PostgresLockedStream,
    checkpoint_names,
    lock_stream,
)
from infrastructure.views.sql.errors import translate_errors
from projections.projection import Projection, V

_SECONDS: Final = 30.0

_PARKED_IN: Final = """
SELECT g.generation
FROM generations g JOIN projections p ON p.tenant = g.tenant AND p.name = g.projection
WHERE g.tenant = %(tenant)s AND g.projection = %(name)s AND g.state = 'following'
  AND EXISTS (SELECT FROM parked k
              WHERE k.tenant = g.tenant AND k.projection = g.projection
                AND k.generation = g.generation AND k.stream = %(stream)s)
ORDER BY g.generation = p.generation DESC, g.generation DESC"""
_STREAMS: Final = """
SELECT DISTINCT stream FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s"""

_UNREADABLE: Final = """
SELECT stream FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND retry_at IS NOT NULL AND (%(at_once)s OR retry_at <= clock_timestamp())
ORDER BY retry_at LIMIT %(limit)s"""
# Pauses of one minute, two, four and eight; then ten minutes each.
_POSTPONE: Final = """
UPDATE parked
SET tries = least(tries + 1, 4),
    retry_at = clock_timestamp() + least(60 * 2 ^ (tries + 1), 600) * interval '1 second'
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND stream = %(stream)s AND retry_at IS NOT NULL"""


class PostgresParkedStreams:
    """See `ParkedStreams`; of the projections it is given."""

    def __init__(self, database: Database, projections: Iterable[Projection[Any]]) -> None:
        self._database = database
        self._projections = {projection.name: projection for projection in projections}

    async def parked_in(self, projection: str, stream: UUID) -> Sequence[Slot[Any]]:
        known = self._projections[projection]
        given = {"tenant": TENANT, "name": projection, "stream": stream}
        async with self._connection() as connection:
            rows = await (await connection.execute(_PARKED_IN, given)).fetchall()
        return [Slot(known, generation) for (generation,) in rows]

    async def streams(self, slot: Slot[Any]) -> Sequence[UUID]:
        async with self._connection() as connection:
            rows = await (await connection.execute(_STREAMS, checkpoint_names(slot))).fetchall()
        return [stream for (stream,) in rows]

    async def unreadable(self, slot: Slot[Any], limit: int, *, at_once: bool) -> Sequence[UUID]:
        given = checkpoint_names(slot) | {"limit": limit, "at_once": at_once}
        async with self._connection() as connection:
            rows = await (await connection.execute(_UNREADABLE, given)).fetchall()
        return [stream for (stream,) in rows]

    async def postpone(self, slot: Slot[Any], stream: UUID) -> None:
        async with self._connection() as connection:
            await connection.execute(_POSTPONE, checkpoint_names(slot) | {"stream": stream})

    @asynccontextmanager
    async def lock(self, slot: Slot[V], stream: UUID) -> AsyncGenerator[PostgresLockedStream[V]]:
        async with self._connection() as connection:
            yield await lock_stream(connection, slot, stream)

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection]:
        async with self._database.connection(_SECONDS) as connection:
            with translate_errors(connection):
                yield connection
