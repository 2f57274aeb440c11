"""Builds a generation: fills tables in bulk, makes indexes, then hands over to the projectors."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Generic
from uuid import UUID

import msgspec

from application.context import TENANT
from application.log.follower import NotLeading
from application.projector.generations import Batch, BuildLost, BuildProgress
from application.projector.view_store import Changes, Slot
from infrastructure.database import Database
from infrastructure.leadership import Lead
from infrastructure.postgres import Connection
from infrastructure.views.generations.drop import drop
from infrastructure.views.generations.switch import PostgresSwitch
from infrastructure.views.sql.copy_format import CopyFormat
from infrastructure.views.sql.ddl import missing_indexes
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.statements import counter_rows, parked_rows, run, statements_of
from infrastructure.views.sql.tables import tables_of
from projections.projection import V

# Between two pieces of this size the event loop runs other tasks.
_PIECE_ENTRIES: Final = 250
# The number of sessions that make indexes in parallel.
_INDEXERS: Final = 2
_INDEXER_MEMORY: Final = "128MB"
_SECONDS: Final = 60.0

# A crash loses a batch together with the record of it, so the batch is done again.
_SETTINGS: Final = """
SELECT set_config('synchronous_commit', 'off', true),
       set_config('idle_in_transaction_session_timeout', '10s', true)"""

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
SELECT pg_notify('rollbook_bells', 'generations') FROM left_to_projectors"""


class PostgresBuild(Generic[V]):
    """See `Build`. Each batch is fenced by the recorded progress, so a lost lead does no harm."""

    def __init__(self, database: Database, lead: Lead, progress: BuildProgress[V]) -> None:
        self._database = database
        self._lead = lead
        self._progress = progress

    @property
    def progress(self) -> BuildProgress[V]:
        return self._progress

    async def store(self, batch: Batch[V]) -> None:
        """See `Build.store`. One transaction, so that a crash leaves whole batches."""
        slot, changes = self._progress.slot, batch.changes
        lines = await _lines(slot, changes)
        values = {"after": batch.after, "events": batch.events, "before": self._progress.after}
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_SETTINGS)
            await self._expect_one(connection, _STORED, **values)
            await _copy(connection, CopyFormat(slot).sql, lines)
            await _store_rest(connection, slot, changes)
        self._progress = msgspec.structs.replace(
            self._progress, after=batch.after, events=batch.events
        )

    async def index(self) -> None:
        slot = self._progress.slot
        tables = tables_of(slot).all
        async with self._connection() as connection:
            statements = [
                each for table in tables for each in await missing_indexes(connection, table)
            ]
        todo = iter(statements)
        makers = [asyncio.create_task(self._make(todo)) for _ in range(_INDEXERS)]
        try:
            await asyncio.gather(*makers)
        finally:
            for maker in makers:
                maker.cancel()
            await asyncio.gather(*makers, return_exceptions=True)
        await self._make(f"ANALYZE {table.name}" for table in tables)

    async def follow(self) -> None:
        async with self._connection() as connection:
            await self._expect_one(connection, _FOLLOWED)
        self._progress = msgspec.structs.replace(self._progress, followed=True)

    def switch(self) -> AbstractAsyncContextManager[PostgresSwitch[V]]:
        return PostgresSwitch[V].open(self._database, self._progress.slot, self._lead)

    async def drop(self) -> None:
        self._check_lead()
        slot = self._progress.slot
        await drop(self._database, slot.projection.name, slot.generation, lead=self._lead)

    async def _make(self, statements: Iterator[str]) -> None:
        self._check_lead()
        async with self._database.session("rebuild") as connection:
            with translate_errors(connection):
                settings = "SELECT set_config('maintenance_work_mem', %s, false)"
                await connection.execute(settings, (_INDEXER_MEMORY,))
                for statement in statements:
                    await connection.execute(statement.encode())

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection]:
        self._check_lead()
        async with self._database.connection(_SECONDS) as connection:
            with translate_errors(connection):
                yield connection

    def _check_lead(self) -> None:
        try:
            self._lead.check()
        except NotLeading as error:
            raise BuildLost(BuildLost.__doc__) from error

    async def _expect_one(
        self, connection: Connection, statement: str, **parameters: UUID | int | None
    ) -> None:
        slot = self._progress.slot
        generation_key = {
            "tenant": TENANT,
            "projection": slot.projection.name,
            "generation": slot.generation,
        }
        cursor = await connection.execute(statement.encode(), {**generation_key, **parameters})
        if cursor.rowcount != 1:
            raise BuildLost(BuildLost.__doc__)


async def _copy(connection: Connection, statement: str, lines: Iterable[bytes]) -> None:
    cursor = connection.cursor()
    async with cursor.copy(statement.encode()) as copy:
        for line in lines:
            await copy.write(line)


async def _store_rest(connection: Connection, slot: Slot[V], changes: Changes[V]) -> None:
    statements = statements_of(slot)
    if changes.counters and statements.count is not None:
        await run(connection, statements.count, {"rows": counter_rows(changes.counters)})
    if changes.parked:
        await run(connection, statements.park, {"rows": parked_rows(changes.parked)})


async def _lines(slot: Slot[V], changes: Changes[V]) -> list[bytes]:
    """The rows to copy, in pieces."""
    format_, lines = CopyFormat(slot), list[bytes]()
    entries = list(changes.entries.items())
    for begin in range(0, len(entries), _PIECE_ENTRIES):
        lines.append(format_.lines(entries[begin : begin + _PIECE_ENTRIES]))
        await asyncio.sleep(0)
    return lines
