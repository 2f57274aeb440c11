"""Parked streams in Postgres, one row each, and the lock to repair one."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from application.context import TENANT
from application.projector.view_store import Slot
from infrastructure.database import TRANSACTION_SECONDS, Database
from infrastructure.views.projector.locked_stream import (
    PostgresLockedStream,
    checkpoint_names,
    lock_stream,
)
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.shapes import Shapes
from projections.projection import Projection, V

_SECONDS: Final = 30.0
_NO_STREAM: Final = UUID(int=0)

_SLOTS: Final = """
SELECT g.generation
FROM generations g JOIN projections p ON p.tenant = g.tenant AND p.name = g.projection
WHERE g.tenant = %(tenant)s AND g.projection = %(name)s AND g.state = 'following'
ORDER BY g.generation = p.generation DESC, g.generation DESC"""
_STREAMS: Final = """
SELECT stream FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND stream > %(after)s
ORDER BY stream LIMIT %(limit)s"""

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
# A repeat changes nothing, so the record says when and by whom it was taken back first.
_REMOVE: Final = """
UPDATE skipped
SET removed_at = coalesce(removed_at, clock_timestamp()), removed_by = coalesce(removed_by, %(actor)s)
WHERE tenant = %(tenant)s AND projection = %(name)s AND stream = %(stream)s
  AND version = %(version)s
RETURNING version"""
_REMOVED: Final = """
SELECT DISTINCT stream FROM skipped
WHERE tenant = %(tenant)s AND projection = %(name)s AND removed_at >= (
    SELECT began_at FROM generations
    WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s)"""


class PostgresParkedStreams:
    """See `ParkedStreams`, `UnreadableStreams` and `RemovedSkips`; of the projections it is given."""

    def __init__(self, database: Database, projections: Iterable[Projection[Any]]) -> None:
        self._database = database
        self._shapes = Shapes(database)
        self._projections = {projection.name: projection for projection in projections}

    async def slots(self, projection: str) -> Sequence[Slot[Any]]:
        known = self._projections[projection]
        found = await self._rows(_SLOTS, {"tenant": TENANT, "name": projection})
        slots = [await self._shapes.writable(known, generation) for (generation,) in found]
        return [slot for slot in slots if slot is not None]

    async def streams(self, slot: Slot[Any], after: UUID | None, limit: int) -> Sequence[UUID]:
        given = checkpoint_names(slot) | {"after": after or _NO_STREAM, "limit": limit}
        return [stream for (stream,) in await self._rows(_STREAMS, given)]

    async def unreadable(self, slot: Slot[Any], limit: int, *, at_once: bool) -> Sequence[UUID]:
        given = checkpoint_names(slot) | {"limit": limit, "at_once": at_once}
        return [stream for (stream,) in await self._rows(_UNREADABLE, given)]

    async def postpone(self, slot: Slot[Any], stream: UUID) -> None:
        async with self._database.connection(TRANSACTION_SECONDS) as connection:
            await connection.execute(_POSTPONE, checkpoint_names(slot) | {"stream": stream})

    async def remove(self, projection: str, stream: UUID, version: int, actor: str) -> bool:
        given = {"tenant": TENANT, "name": projection, "stream": stream}
        return bool(await self._rows(_REMOVE, given | {"version": version, "actor": actor}))

    async def removed(self, slot: Slot[Any]) -> Sequence[UUID]:
        return [stream for (stream,) in await self._rows(_REMOVED, checkpoint_names(slot))]

    @asynccontextmanager
    async def lock(self, slot: Slot[V], stream: UUID) -> AsyncGenerator[PostgresLockedStream[V]]:
        async with self._database.connection(_SECONDS, limited=False) as connection:
            with translate_errors(connection):
                locked = await lock_stream(connection, slot, stream)
            yield locked

    async def _rows(self, query: str, given: Mapping[str, Any]) -> list[Any]:
        """The rows of a statement that may be repeated."""
        return await self._database.rows(query, given, seconds=TRANSACTION_SECONDS)
