"""One stream in Postgres, locked by the checkpoint's row, so that no page is written meanwhile."""

from collections.abc import Mapping
from typing import Any, Final, Generic
from uuid import UUID

from application.context import TENANT
from application.errors import Unavailable
from application.projector.parked import Decision
from application.projector.view_store import Changes, Entry, ParkedEvent, Skipped, Slot
from infrastructure.leadership import FROZEN_MILLISECONDS
from infrastructure.postgres import Connection
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.rows import RowFormat
from infrastructure.views.sql.statements import counter_rows, run, statements_of
from projections.projection import V

# A process that freezes in a retry does not hold the checkpoint for long.
_SETTINGS: Final = """
SELECT set_config('idle_in_transaction_session_timeout', %s::text, true),
       set_config('statement_timeout', '30s', true)"""
_LOCK_CHECKPOINT: Final = """
SELECT position FROM checkpoints
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND partition = 0
FOR UPDATE"""
_PARKED: Final = """
SELECT stream, version, position, event_id, error, last_version FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND stream = %(stream)s"""
_DELETE: Final = """
DELETE FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND stream = %(stream)s"""
# Where nothing has changed, the pauses before the next automatic retry go on growing.
_PARK: Final = """
INSERT INTO parked AS k
    (tenant, projection, generation, stream, version, last_version, position, event_id, error,
     retry_at)
VALUES (%(tenant)s, %(name)s, %(generation)s, %(stream)s, %(version)s, %(last_version)s,
        %(position)s, %(event_id)s, %(error)s,
        CASE WHEN %(unreadable)s THEN clock_timestamp() + interval '60 seconds' END)
ON CONFLICT (tenant, projection, generation, stream) DO UPDATE
SET version = excluded.version, position = excluded.position, event_id = excluded.event_id,
    error = excluded.error, last_version = excluded.last_version, tries = 0,
    retry_at = excluded.retry_at
WHERE (k.version, k.error) <> (excluded.version, excluded.error)"""
_COUNT_REPAIR: Final = """
UPDATE checkpoints SET repairs = repairs + 1
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND partition = 0"""
# A skip that was taken back is a new decision.
_SKIP: Final = """
INSERT INTO skipped AS s
    (tenant, projection, stream, version, position, event_id, error, reason, actor)
VALUES (%(tenant)s, %(name)s, %(stream)s, %(version)s, %(position)s, %(event_id)s, %(error)s,
        %(reason)s, %(actor)s)
ON CONFLICT (tenant, projection, stream, version) DO UPDATE
SET error = excluded.error, reason = excluded.reason, actor = excluded.actor,
    skipped_at = clock_timestamp(), removed_at = NULL, removed_by = NULL
WHERE s.removed_at IS NOT NULL"""
_RING: Final = """
SELECT pg_notify('rollbook_bells', 'view:' || %(name)s), pg_notify('rollbook_bells', 'parked')"""
# A part of a retry is lost in a crash together with what is still parked.
_NOT_DURABLE: Final = "SELECT set_config('synchronous_commit', 'off', true)"


async def lock_stream(
    connection: Connection, slot: Slot[V], stream: UUID
) -> "PostgresLockedStream[V]":
    """Begin a transaction that locks a stream; without a commit nothing is changed.

    Raises `Unavailable` if the generation was dropped, and psycopg's errors.
    """
    given = {**checkpoint_names(slot), "stream": stream}
    async with connection.pipeline():
        await connection.execute("BEGIN")
        await connection.execute(_SETTINGS, (FROZEN_MILLISECONDS,))
        checkpoint = await connection.execute(_LOCK_CHECKPOINT, given)
    row = await checkpoint.fetchone()
    if row is None:
        # The generation was dropped.
        raise Unavailable
    locked = PostgresLockedStream(connection, slot, given, row[0])
    await locked.read()
    return locked


def checkpoint_names(slot: Slot[Any]) -> dict[str, Any]:
    """The parameters that name a slot's checkpoint."""
    return {
        "tenant": TENANT,
        "name": slot.projection.name,
        "generation": slot.generation,
    }


class PostgresLockedStream(Generic[V]):
    """See `LockedStream`. What it reads and writes does not grow with what is parked."""

    def __init__(
        self, connection: Connection, slot: Slot[V], given: Mapping[str, Any], position: int
    ) -> None:
        self._connection = connection
        self._slot = slot
        self._given = given
        self._row_format = RowFormat(slot)
        self.position = position
        self.entry: Entry[V] | None = None
        self.first: ParkedEvent | None = None
        self.last_version = 0
        self.skipped: Skipped = frozenset()

    async def read(self) -> None:
        """Read the stream's rows, after the lock, so that no other session changes them."""
        connection, stream = self._connection, self._given["stream"]
        statements, streams = statements_of(self._slot), {"streams": [stream]}
        async with connection.pipeline():
            parked = await connection.execute(_PARKED, self._given)
            skipped = await run(connection, statements.skipped, streams)
            entries = await run(connection, statements.entries, streams)
        self.skipped = frozenset((row[0], row[1]) for row in await skipped.fetchall())
        self.entry = self._row_format.entries(await entries.fetchall()).get(stream)
        self.last_version = 0 if self.entry is None else self.entry.version
        row = await parked.fetchone()
        if row is not None:
            self.first = ParkedEvent(
                stream=row[0], version=row[1], position=row[2], event_id=row[3], error=row[4]
            )
            self.last_version = max(row[1], row[5])

    async def commit(self, changes: Changes[V]) -> None:
        statements, connection = statements_of(self._slot), self._connection
        first = next(iter(changes.parked), None)
        # A stream of which no event is folded has no row.
        stored = {stream: entry for stream, entry in changes.entries.items() if entry.version}
        with translate_errors(connection):
            rows = self._row_format.to_json(stored)
            async with connection.pipeline():
                if first is not None:
                    await connection.execute(_NOT_DURABLE)
                if stored:
                    await run(connection, statements.store, {"rows": rows})
                elif changes.entries:
                    await run(connection, statements.remove, {"streams": list(changes.entries)})
                if changes.entries:
                    await connection.execute(_COUNT_REPAIR, self._given)
                if changes.counters and statements.count is not None:
                    counters = counter_rows(changes.counters)
                    await run(connection, statements.count, {"rows": counters})
                if first is None:
                    await connection.execute(_DELETE, self._given)
                else:
                    await connection.execute(_PARK, self._row(first))
                await connection.execute(_RING, self._given)
                await connection.execute("COMMIT")

    def _row(self, first: ParkedEvent) -> dict[str, Any]:
        return {
            **self._given,
            "version": first.version,
            "last_version": max(self.last_version, first.version),
            "position": first.position,
            "event_id": first.event_id,
            "error": first.error,
            "unreadable": first.unreadable,
        }

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
