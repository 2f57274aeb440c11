"""One stream in Postgres, locked by the checkpoint's row, so that no page is written meanwhile."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic
from uuid import UUID

from application.context import TENANT
from application.errors import Unavailable
from application.projector.parked import Decision
from application.projector.view_store import Changes, Entry, ParkedEvent, Skipped, Slot
from infrastructure.postgres import Connection
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.rows import RowFormat
from infrastructure.views.sql.statements import counter_rows, run, statements_of
from projections.projection import V

_LOCK_CHECKPOINT: Final = """
SELECT position FROM checkpoints
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND partition = 0
FOR UPDATE"""
_PARKED: Final = """
SELECT stream, version, position, event_id, error FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND stream = %(stream)s
ORDER BY version"""
_DELETE_APPLIED: Final = """
DELETE FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND stream = %(stream)s AND version <= %(version)s"""
_SET_ERROR: Final = """
UPDATE parked
SET error = %(error)s, tries = 0,
    retry_at = CASE WHEN %(unreadable)s THEN clock_timestamp() + interval '60 seconds' END
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND stream = %(stream)s AND version = %(version)s AND error <> %(error)s"""
_COUNT_REPAIR: Final = """
UPDATE checkpoints SET repairs = repairs + 1
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND partition = 0"""
_SKIP: Final = """
INSERT INTO skipped (tenant, projection, stream, version, position, event_id, error, reason, actor)
VALUES (%(tenant)s, %(name)s, %(stream)s, %(version)s, %(position)s, %(event_id)s, %(error)s,
        %(reason)s, %(actor)s)
ON CONFLICT DO NOTHING"""
_RING: Final = """
SELECT pg_notify('rollbook', 'view:' || %(name)s), pg_notify('rollbook', 'parked')"""


async def lock_stream(
    connection: Connection, slot: Slot[V], stream: UUID
) -> "PostgresLockedStream[V]":
    """Begin a transaction that locks a stream; without a commit nothing is changed.

    Raises `Unavailable` if the generation was dropped, and psycopg's errors.
    """
    given = {**checkpoint_names(slot), "stream": stream}
    await connection.execute("BEGIN")
    locked = PostgresLockedStream(connection, slot, given, await lock_checkpoint(connection, slot))
    await locked.read()
    return locked


async def lock_checkpoint(connection: Connection, slot: Slot[Any]) -> int:
    """Lock the slot's checkpoint until the transaction ends; returns its position."""
    row = await (await connection.execute(_LOCK_CHECKPOINT, checkpoint_names(slot))).fetchone()
    if row is None:
        # The generation was dropped.
        raise Unavailable
    return row[0]


def checkpoint_names(slot: Slot[Any]) -> dict[str, Any]:
    """The parameters that name a slot's checkpoint."""
    return {
        "tenant": TENANT,
        "name": slot.projection.name,
        "generation": slot.generation,
    }


class PostgresLockedStream(Generic[V]):
    """See `LockedStream`."""

    def __init__(
        self, connection: Connection, slot: Slot[V], given: Mapping[str, Any], position: int
    ) -> None:
        self._connection = connection
        self._slot = slot
        self._given = given
        self._row_format = RowFormat(slot)
        self.position = position
        self.entry: Entry[V] | None = None
        self.parked: Sequence[ParkedEvent] = ()
        self.skipped: Skipped = frozenset()

    async def read(self) -> None:
        """Read the stream's rows, after the lock, so that no other session changes them."""
        statements, streams = statements_of(self._slot), {"streams": [self._given["stream"]]}
        rows = await (await self._connection.execute(_PARKED, self._given)).fetchall()
        self.parked = [
            ParkedEvent(
                stream=row[0], version=row[1], position=row[2], event_id=row[3], error=row[4]
            )
            for row in rows
        ]
        skipped = await (await run(self._connection, statements.skipped, streams)).fetchall()
        self.skipped = frozenset((row[0], row[1]) for row in skipped)
        entries = self._row_format.entries(
            await (await run(self._connection, statements.entries, streams)).fetchall()
        )
        self.entry = entries.get(self._given["stream"])

    async def commit(self, changes: Changes[V]) -> None:
        statements, stream = statements_of(self._slot), self._given["stream"]
        entry = changes.entries.get(stream, self.entry)
        with translate_errors(self._connection):
            if changes.entries:
                await run(
                    self._connection,
                    statements.store,
                    {"rows": self._row_format.to_json(changes.entries)},
                )
                await self._connection.execute(_COUNT_REPAIR, self._given)
            if changes.counters and statements.count is not None:
                rows = counter_rows(changes.counters)
                await run(self._connection, statements.count, {"rows": rows})
            version = 0 if entry is None else entry.version
            await self._connection.execute(_DELETE_APPLIED, {**self._given, "version": version})
            for parked in changes.parked:
                values = {
                    **self._given,
                    "version": parked.version,
                    "error": parked.error,
                    "unreadable": parked.unreadable,
                }
                await self._connection.execute(_SET_ERROR, values)
            await self._connection.execute(_RING, self._given)
            await self._connection.execute("COMMIT")

    async def skip(self, decision: Decision) -> None:
        event = decision.event
        given = {
            **self._given,
            "version": event.version,
            "position": event.position,
            "event_id": event.event_id,
            "error": event.error,
            "reason": decision.reason,
            "actor": decision.actor,
        }
        with translate_errors(self._connection):
            await self._connection.execute(_SKIP, given)
            await self._connection.execute("COMMIT")
