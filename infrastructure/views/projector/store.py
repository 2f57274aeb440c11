"""The views in Postgres: the leader writes them page by page, each with its checkpoint."""

from collections.abc import AsyncGenerator, Collection, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Generic
from uuid import UUID

import psycopg
from psycopg.errors import LockNotAvailable
from psycopg.pq import TransactionStatus

from application.log.follower import NotLeading
from application.projector.view_store import Changes, Entry, PageOfViews, Skipped, Slot, ViewWriter
from infrastructure.database import Database
from infrastructure.leadership import FROZEN_MILLISECONDS, Lead
from infrastructure.postgres import Connection, is_broken
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.rows import RowFormat
from infrastructure.views.sql.slot_lock import lead_name
from infrastructure.views.sql.statements import (
    SlotStatements,
    Statement,
    counter_rows,
    parked_rows,
    run,
    statements_of,
)
from projections.projection import V

_PAGE_SECONDS: Final = 30.0
# A page and its checkpoint are lost together in a crash, and then done again.
_SETTINGS: Final = """
SELECT set_config('synchronous_commit', 'off', true),
       set_config('idle_in_transaction_session_timeout', %s::text, true),
       set_config('lock_timeout', %s::text, true),
       set_config('statement_timeout', '30s', true)"""
# A retry of a parked stream and a switch hold the checkpoint for less time. Behind the first page
# of a new leader there may be a page of a frozen one.
_LOCK_MILLISECONDS: Final = 5000
_FIRST_LOCK_MILLISECONDS: Final = 500
_END_FROZEN_PAGES: Final = Path(__file__).with_name("end_frozen_pages.sql").read_bytes()


class PostgresViewStore:
    """See `ViewStore`. The process's leading session holds the locks; pages use the pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def lead(self, slot: Slot[V]) -> AsyncGenerator[ViewWriter[V]]:
        async with self._database.leading.lead(
            lead_name(slot.projection.name, slot.generation)
        ) as lead:
            position = await self._position(slot)
            yield PostgresViewWriter(self._database, lead, slot, position)

    async def _position(self, slot: Slot[Any]) -> int:
        statement = statements_of(slot).position
        rows = await self._database.rows(statement.sql, statement.constants)
        if not rows:
            # The generation was dropped since this process read it.
            raise NotLeading(NotLeading.__doc__)
        return rows[0][0]


class PostgresViewWriter(Generic[V]):
    """See `ViewWriter`. A page is two round trips: one before it is folded, one after."""

    def __init__(self, database: Database, lead: Lead, slot: Slot[V], position: int) -> None:
        self._database = database
        self._lead = lead
        self._lock_milliseconds = _FIRST_LOCK_MILLISECONDS
        self._statements = statements_of(slot)
        self._row_format = RowFormat(slot)
        self._position = position

    @property
    def position(self) -> int:
        self._lead.check()
        return self._position

    @asynccontextmanager
    async def page(self, reached: int, streams: Collection[UUID]) -> AsyncGenerator[PageOfViews[V]]:
        async with self._database.connection(_PAGE_SECONDS, limited=False) as connection:
            try:
                with translate_errors(connection):
                    page = await self._begin(connection, reached, list(streams))
                yield page
                if page.is_committed:
                    self._position = reached
            finally:
                await _roll_back(connection)

    async def _begin(self, connection: Connection, reached: int, streams: list[UUID]) -> "_Page[V]":
        statements = self._statements
        fence = {"reached": reached, "position": self._position}
        try:
            async with connection.pipeline():
                await connection.execute("BEGIN")
                await connection.execute(_SETTINGS, (FROZEN_MILLISECONDS, self._lock_milliseconds))
                # The fence comes first: from here on no other session moves this checkpoint or locks
                # a stream of this slot.
                moved = await run(connection, statements.fence, fence)
                parked = await run(connection, statements.parked, {"streams": streams})
                skipped = await run(connection, statements.skipped, {"streams": streams})
                entries = await run(connection, statements.entries, {"streams": streams})
        except LockNotAvailable:
            await connection.rollback()
            await connection.execute(_END_FROZEN_PAGES, {"frozen": FROZEN_MILLISECONDS})
            raise
        self._lock_milliseconds = _LOCK_MILLISECONDS
        if moved.rowcount != 1:
            raise NotLeading(NotLeading.__doc__)
        return _Page(
            connection,
            statements,
            self._row_format,
            self._row_format.entries(await entries.fetchall()),
            {row[0] for row in await parked.fetchall()},
            {(row[0], row[1]) for row in await skipped.fetchall()},
        )


class _Page(Generic[V]):
    def __init__(
        self,
        connection: Connection,
        statements: SlotStatements,
        row_format: RowFormat[V],
        entries: Mapping[UUID, Entry[V]],
        parked: AbstractSet[UUID],
        skipped: Skipped,
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._row_format = row_format
        self.entries = entries
        self.parked = parked
        self.skipped = skipped
        self.is_committed = False

    async def commit(self, changes: Changes[V]) -> None:
        statements = self._statements
        work: list[tuple[Statement, str]] = []
        if changes.entries:
            work.append((statements.store, self._row_format.to_json(changes.entries)))
        if changes.counters and statements.count is not None:
            work.append((statements.count, counter_rows(changes.counters)))
        if changes.parked:
            work.append((statements.park, parked_rows(changes.parked)))
        with translate_errors(self._connection):
            async with self._connection.pipeline():
                for statement, rows in work:
                    await run(self._connection, statement, {"rows": rows})
                await self._connection.execute("COMMIT")
        self.is_committed = True


async def _roll_back(connection: Connection) -> None:
    """Rolls back an open transaction; if the connection is lost, the server does it by itself."""
    if not is_broken(connection) and connection.info.transaction_status != TransactionStatus.IDLE:
        with suppress(psycopg.Error):
            await connection.rollback()
