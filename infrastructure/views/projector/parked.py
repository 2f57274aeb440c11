"""Parked streams in Postgres, the lock to repair one, and the queue of views to refresh."""

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import text

from application.context import TENANT
from application.errors import Unavailable
from application.projector.view_store import Slot, partition_of, slots_of
from infrastructure.postgres import Connection, answered_within, connect
from infrastructure.views.projector.locked_stream import PostgresLockedStream, lock_stream
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.reader import ViewReader
from projections.projection import Projection, V

_WAITING: Final = text("""
SELECT m.id, m.generation, g.partitions, m.partition, m.stream
FROM mended m JOIN generations g
    ON g.tenant = m.tenant AND g.projection = m.projection AND g.generation = m.generation
WHERE m.tenant = :tenant AND m.projection = :name AND g.state = 'following'
ORDER BY m.id LIMIT 500""")
_REPLACED: Final = text("DELETE FROM mended WHERE id = ANY(:numbers) RETURNING id")


class PostgresRefreshQueue:
    """See `RefreshQueue`; of the projections it is given."""

    def __init__(self, reader: ViewReader, projections: Iterable[Projection[Any]]) -> None:
        self._reader = reader
        self._projections = {projection.name: projection for projection in projections}

    async def pending(self, projection: str) -> Mapping[int, tuple[Slot[Any], UUID]]:
        """See `RefreshQueue.pending`."""
        known = self._projections[projection]
        rows = await self._reader.rows(_WAITING, {"tenant": TENANT, "name": projection})
        waiting: dict[int, tuple[Slot[Any], UUID]] = {}
        for number, generation, partitions, partition, stream in rows:
            waiting[number] = (slots_of(known, generation, partitions)[partition], stream)
        return waiting

    async def mark_refreshed(self, numbers: Collection[int]) -> None:
        """See `RefreshQueue.mark_refreshed`."""
        await self._reader.rows(_REPLACED, {"numbers": list(numbers)})


APPLICATION: Final = "rollbook mending"
_SECONDS: Final = 30.0

_PARKED_IN: Final = """
SELECT g.generation, g.partitions
FROM generations g JOIN projections p ON p.tenant = g.tenant AND p.name = g.projection
WHERE g.tenant = %(tenant)s AND g.projection = %(name)s AND g.state = 'following'
  AND EXISTS (SELECT FROM parked k
              WHERE k.tenant = g.tenant AND k.projection = g.projection
                AND k.generation = g.generation AND k.stream = %(stream)s)
ORDER BY g.generation = p.generation DESC, g.generation DESC"""
_STREAMS: Final = """
SELECT DISTINCT stream FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s"""


class PostgresParkedStreams:
    """See `ParkedStreams`; of the projections it is given."""

    def __init__(self, database_url: str, projections: Iterable[Projection[Any]]) -> None:
        self._database_url = database_url
        self._projections = {projection.name: projection for projection in projections}

    async def parked_in(self, projection: str, stream: UUID) -> Sequence[Slot[Any]]:
        """See `ParkedStreams.parked_in`."""
        known = self._projections[projection]
        given = {"tenant": TENANT, "name": projection, "stream": stream}
        async with self._connection() as connection:
            rows = await (await connection.execute(_PARKED_IN, given)).fetchall()
        return [
            slots_of(known, generation, partitions)[partition_of(stream, partitions)]
            for generation, partitions in rows
        ]

    async def streams(self, slot: Slot[Any]) -> Sequence[UUID]:
        """See `ParkedStreams.streams`."""
        given = {"tenant": TENANT, "name": slot.projection.name, "generation": slot.generation}
        async with self._connection() as connection:
            rows = await (await connection.execute(_STREAMS, given)).fetchall()
        return [stream for (stream,) in rows if slot.holds(stream)]

    @asynccontextmanager
    async def lock(self, slot: Slot[V], stream: UUID) -> AsyncGenerator[PostgresLockedStream[V]]:
        """See `ParkedStreams.lock`."""
        async with self._connection() as connection:
            yield await lock_stream(connection, slot, stream)

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection]:
        """One for each use, because repairs are rare. Uncommitted changes are rolled back."""
        try:
            connection = await connect(self._database_url, APPLICATION)
        except (psycopg.Error, OSError) as error:
            raise Unavailable from error
        async with connection, answered_within(_SECONDS, connection):
            with translate_errors(connection):
                yield connection
