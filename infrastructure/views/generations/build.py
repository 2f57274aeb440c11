"""Builds a generation: fills tables in bulk, makes indexes, then hands over to the projectors."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic
from uuid import UUID

import msgspec

from application.context import TENANT
from application.projector.generations import Batch, BuildLost, BuildProgress
from application.projector.view_store import Changes, Slot
from infrastructure.postgres import Connection, connect
from infrastructure.views.sql.copy_format import CopyFormat
from infrastructure.views.sql.ddl import missing_indexes
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.statements import Statement, statements_of
from infrastructure.views.sql.tables import tables_of
from projections.projection import V

APPLICATION: Final = "rollbook rebuild"
# Between two pieces of this size the event loop runs other tasks.
_PIECE_ENTRIES: Final = 250
# The number of sessions that make indexes in parallel.
_INDEXERS: Final = 2
_INDEXER_MEMORY: Final = "128MB"

_STORED: Final = """
UPDATE generations
SET filled_after = %(after)s, filled_events = %(events)s, touched_at = clock_timestamp()
WHERE (tenant, projection, generation) = (%(tenant)s, %(projection)s, %(generation)s)
  AND state = 'filling' AND filled_after IS NOT DISTINCT FROM %(before)s"""
_FOLLOWED: Final = """
WITH left_to_projectors AS (
    UPDATE generations SET state = 'following', touched_at = clock_timestamp()
    WHERE (tenant, projection, generation) = (%(tenant)s, %(projection)s, %(generation)s)
      AND state IN ('filling', 'following')
    RETURNING generation)
SELECT pg_notify('rollbook', 'generations') FROM left_to_projectors"""


class PostgresBuild(Generic[V]):
    """See `Build`; the connection holds the lock of the rebuild."""

    def __init__(
        self, database_url: str, connection: Connection, progress: BuildProgress[V]
    ) -> None:
        self._database_url = database_url
        self._connection = connection
        self._progress = progress

    @property
    def progress(self) -> BuildProgress[V]:
        """See `Build.progress`."""
        return self._progress

    async def store(self, batch: Batch[V]) -> None:
        """See `Build.store`. One transaction, so that a crash leaves whole batches."""
        slot, changes = self._progress.slot, batch.changes
        lines = await _lines(slot, changes)
        values = {"after": batch.after, "events": batch.events, "before": self._progress.after}
        with translate_errors(self._connection):
            async with self._connection.transaction():
                await self._expect_one(_STORED, **values)
                await self._copy(CopyFormat(slot).sql, lines)
                await self._store_rest(slot, changes)
        self._progress = msgspec.structs.replace(
            self._progress, after=batch.after, events=batch.events
        )

    async def index(self) -> None:
        """See `Build.index`."""
        slot = self._progress.slot
        tables = tables_of(slot.projection, slot.generation).all
        statements = [
            each for table in tables for each in await missing_indexes(self._connection, table)
        ]
        todo = iter(statements)
        makers = [asyncio.create_task(self._make(todo)) for _ in range(_INDEXERS)]
        with translate_errors(self._connection):
            try:
                await asyncio.gather(*makers)
            finally:
                for maker in makers:
                    maker.cancel()
                await asyncio.gather(*makers, return_exceptions=True)
            for table in tables:
                await self._connection.execute(f"ANALYZE {table.name}".encode())

    async def follow(self) -> None:
        """See `Build.follow`."""
        with translate_errors(self._connection):
            await self._expect_one(_FOLLOWED)
        self._progress = msgspec.structs.replace(self._progress, followed=True)

    async def _make(self, statements: Iterator[str]) -> None:
        async with await connect(self._database_url, APPLICATION) as connection:
            settings = "SELECT set_config('maintenance_work_mem', %s, false)"
            await connection.execute(settings, (_INDEXER_MEMORY,))
            for statement in statements:
                await connection.execute(statement.encode())

    async def _copy(self, statement: str, lines: Iterable[bytes]) -> None:
        cursor = self._connection.cursor()
        async with cursor.copy(statement.encode()) as copy:
            for line in lines:
                await copy.write(line)

    async def _store_rest(self, slot: Slot[V], changes: Changes[V]) -> None:
        statements = statements_of(slot)
        if changes.counters and statements.count is not None:
            rows = [{"counter": name, "value": n} for name, n in changes.counters.items()]
            await self._run(statements.count, rows)
        if changes.parked:
            await self._run(statements.park, changes.parked)

    async def _run(self, statement: Statement, rows: Sequence[object]) -> None:
        parameters = {**statement.constants, "rows": msgspec.json.encode(rows).decode()}
        await self._connection.execute(statement.sql, parameters)

    async def _expect_one(self, statement: str, **parameters: UUID | int | None) -> None:
        slot = self._progress.slot
        generation_key = {
            "tenant": TENANT,
            "projection": slot.projection.name,
            "generation": slot.generation,
        }
        cursor = await self._connection.execute(
            statement.encode(), {**generation_key, **parameters}
        )
        if cursor.rowcount != 1:
            raise BuildLost(BuildLost.__doc__)


async def _lines(slot: Slot[V], changes: Changes[V]) -> list[bytes]:
    """The rows to copy, in pieces."""
    format_, lines = CopyFormat(slot), list[bytes]()
    entries = list(changes.entries.items())
    for begin in range(0, len(entries), _PIECE_ENTRIES):
        lines.append(format_.lines(entries[begin : begin + _PIECE_ENTRIES]))
        await asyncio.sleep(0)
    return lines
