"""Writes one slot's views page by page; each page and its checkpoint are one transaction."""

from collections.abc import AsyncGenerator, Collection, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Generic
from uuid import UUID

import msgspec
import psycopg
from psycopg import AsyncCursor
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from application.log.follower import NotLeading
from application.projector.view_store import Changes, Entry, PageOfViews, Skipped, Slot
from infrastructure.leadership import LeadingSession
from infrastructure.postgres import Connection, answered_within, is_broken
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.rows import RowFormat
from infrastructure.views.sql.statements import SlotStatements, Statement, statements_of
from projections.projection import V

_PAGE_SECONDS: Final = 30.0


class PostgresViewWriter(Generic[V]):
    """See `ViewWriter`. A page is two round trips: one before it is folded, one after."""

    def __init__(self, session: LeadingSession, slot: Slot[V], position: int) -> None:
        self._session = session
        self._statements = statements_of(slot)
        self._row_format = RowFormat(slot)
        self._position = position

    @property
    def position(self) -> int:
        """See `ViewWriter.position`."""
        self._session.check()
        return self._position

    @asynccontextmanager
    async def page(self, reached: int, streams: Collection[UUID]) -> AsyncGenerator[PageOfViews[V]]:
        """See `ViewWriter.page`."""
        connection = self._session.connection
        async with self._session.turn, answered_within(_PAGE_SECONDS, connection):
            try:
                with translate_errors(connection):
                    page = await self._begin(reached, list(streams))
                yield page
                if page.is_committed:
                    self._position = reached
            finally:
                await _roll_back(connection)

    async def _begin(self, reached: int, streams: list[UUID]) -> "_Page[V]":
        connection, statements = self._session.connection, self._statements
        fence = {"reached": reached, "position": self._position}
        async with connection.pipeline():
            await connection.execute("BEGIN")
            # The fence comes first: from here on no other session moves this checkpoint or locks a
            # stream of this slot.
            moved = await _run(connection, statements.fence, fence)
            parked = await _run(connection, statements.parked, {"streams": streams})
            skipped = await _run(connection, statements.skipped, {"streams": streams})
            entries = await _run(connection, statements.entries, {"streams": streams})
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
        """See `PageOfViews.commit`."""
        statements = self._statements
        work: list[tuple[Statement, str]] = []
        if changes.entries:
            work.append((statements.store, self._row_format.to_json(changes.entries)))
        if changes.counters and statements.count is not None:
            rows = [{"counter": name, "value": n} for name, n in changes.counters.items()]
            work.append((statements.count, msgspec.json.encode(rows).decode()))
        if changes.parked:
            work.append((statements.park, msgspec.json.encode(changes.parked).decode()))
        with translate_errors(self._connection):
            async with self._connection.pipeline():
                for statement, rows in work:
                    await _run(self._connection, statement, {"rows": rows})
                await self._connection.execute("COMMIT")
        self.is_committed = True


async def _run(
    connection: Connection, statement: Statement, parameters: Mapping[str, Any]
) -> AsyncCursor[TupleRow]:
    return await connection.execute(
        statement.sql, {**statement.constants, **parameters}, binary=True
    )


async def _roll_back(connection: Connection) -> None:
    """Rolls back an open transaction; if the connection is lost, the server does it by itself."""
    if not is_broken(connection) and connection.info.transaction_status != TransactionStatus.IDLE:
        with suppress(psycopg.Error):
            await connection.rollback()
