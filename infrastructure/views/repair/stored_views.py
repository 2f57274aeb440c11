"""A generation in Postgres in one snapshot: pages by id, in one read-only transaction."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final, Generic, Self
from uuid import UUID

import psycopg
from psycopg import IsolationLevel
from psycopg.errors import UndefinedTable
from sqlalchemy import ColumnElement, Select, bindparam, func, select

from application.errors import Unavailable
from application.projector.view_store import Entry, Slot, partition_of
from application.verification.stored_views import StoredStream
from infrastructure.postgres import Connection, answered_within, connect, is_outage
from infrastructure.views.sql.catalogue import PARKED, SKIPPED, parked_of, skipped_of
from infrastructure.views.sql.rows import BOOKKEEPING, RowFormat
from infrastructure.views.sql.statements import Statement, columns_of, statements_of
from infrastructure.views.sql.tables import tables_of
from projections.projection import V

APPLICATION: Final = "rollbook verify"
_PAGE_SECONDS: Final = 30.0
# Long streams are folded between two pages; but a frozen process must not block vacuum for ever.
_SETTINGS: Final = Statement(
    b"SELECT set_config('idle_in_transaction_session_timeout', '5min', false)", {}
)


class PostgresStoredViews(Generic[V]):
    """See `StoredViews`. Like a dump, it blocks vacuum while it is open."""

    def __init__(self, connection: Connection, slots: Sequence[Slot[V]]) -> None:
        self._connection = connection
        self.slots = slots
        self.positions: Sequence[int] = ()
        self._row_format = RowFormat(slots[0])
        self._tables = tables_of(slots[0].projection, slots[0].generation)

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, slots: Sequence[Slot[V]]) -> AsyncGenerator[Self]:
        """See `OpenStoredViews`."""
        try:
            connection = await connect(database_url, APPLICATION)
        except (psycopg.Error, OSError) as error:
            raise Unavailable from error
        async with connection:
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            await connection.set_read_only(True)
            views = cls(connection, slots)
            async with connection.transaction():
                await views.begin()
                yield views

    async def begin(self) -> None:
        """Take the snapshot, and lock the tables so that they cannot be dropped."""
        await self._rows(_SETTINGS, {})
        for table in self._tables.all:
            await self._rows(Statement.of(select(*table.columns).limit(0)), {})
        found = [await self._rows(statements_of(slot).position, {}) for slot in self.slots]
        if not all(found):
            raise Unavailable
        self.positions = [rows[0][0] for rows in found]

    async def page(self, after: UUID | None, limit: int) -> Sequence[StoredStream[V]]:
        """See `StoredViews.page`."""
        statements = _pages(self.slots[0], after is None)
        given: dict[str, Any] = {"most": limit} | ({} if after is None else {"after": after})
        sources = [await self._rows(statement, given) for statement in statements]
        # A source that has more rows is known only up to its last row.
        ends = [source[-1][0] for source in sources if len(source) == limit]
        through = min(ends, default=None)
        rows, parked, skipped = (
            {row[0]: row for row in source if through is None or row[0] <= through}
            for source in sources
        )
        return [
            self._stream(stream, rows.get(stream), parked.get(stream), skipped.get(stream))
            for stream in sorted(rows.keys() | parked.keys() | skipped.keys())
        ]

    async def counters(self) -> Sequence[Mapping[str, int]]:
        """See `StoredViews.counters`."""
        counters: list[dict[str, int]] = [{} for _ in self.slots]
        if (table := self._tables.counters) is not None:
            c = table.c
            query = select(c.partition, c.counter, c.value).where(c.value != 0)
            for partition, counter, value in await self._rows(Statement.of(query), {}):
                # Readers sum the counters of all partitions, also of unknown ones.
                counted = counters[partition if 0 <= partition < len(counters) else 0]
                counted[counter] = counted.get(counter, 0) + value
        return counters

    def _stream(
        self,
        stream: UUID,
        row: Sequence[Any] | None,
        parked: Sequence[Any] | None,
        skipped: Sequence[Any] | None,
    ) -> StoredStream[V]:
        entry, columns_match = None, True
        if row is not None:
            of_entry = len(BOOKKEEPING) + len(self.slots[0].projection.view.__struct_fields__)
            entry = self._row_format.entries([row[:of_entry]])[stream]
            columns_match = self._columns_match(stream, entry, row[of_entry:])
        return StoredStream(
            stream=stream,
            entry=entry,
            parked=None if parked is None else parked[1],
            skipped=frozenset() if skipped is None else frozenset(skipped[1]),
            columns_match=columns_match,
        )

    def _columns_match(self, stream: UUID, entry: Entry[V], columns: Sequence[Any]) -> bool:
        """Whether the columns of partition, keys and words match the view."""
        projection, (partition, *made) = self.slots[0].projection, columns
        if partition != partition_of(stream, len(self.slots)):
            return False
        if entry.view is None:
            return not any(value is not None for value in made)
        keys, words = made[: len(projection.keys)], made[len(projection.keys) :]
        try:
            return all(
                value == key.of(entry.view)
                for key, value in zip(projection.keys, keys, strict=True)
            ) and all(
                set(value) == set(each.of(entry.view))
                for each, value in zip(projection.words, words, strict=True)
            )
        except Exception:
            # A view that was tampered with may break any function of the projection.
            return False

    async def _rows(self, statement: Statement, given: Mapping[str, Any]) -> list[Any]:
        try:
            async with answered_within(_PAGE_SECONDS, self._connection):
                cursor = await self._connection.execute(
                    statement.sql, {**statement.constants, **given}, binary=True
                )
                return list(await cursor.fetchall())
        except UndefinedTable as error:
            # The generation was dropped a moment ago.
            raise Unavailable from error
        except (psycopg.Error, OSError) as error:
            if is_outage(error, self._connection):
                raise Unavailable from error
            raise


@cache
def _pages(slot: Slot[Any], first: bool) -> Sequence[Statement]:
    """The statements for the next rows, parked streams and skipped events, ordered by stream."""
    projection, c = slot.projection, tables_of(slot.projection, slot.generation).rows.c
    made: list[ColumnElement[Any]] = [c[key.name] for key in projection.keys]
    made += [func.tsvector_to_array(c[words.name]) for words in projection.words]
    parked, skipped = PARKED.c.stream, SKIPPED.c.stream
    sources: list[tuple[Select[*tuple[Any, ...]], ColumnElement[UUID]]] = [
        (select(*columns_of(slot), c.partition, *made), c.id),
        (
            select(parked, func.min(PARKED.c.version)).where(parked_of(slot)).group_by(parked),
            parked,
        ),
        (
            select(skipped, func.array_agg(SKIPPED.c.version))
            .where(skipped_of(projection.name))
            .group_by(skipped),
            skipped,
        ),
    ]
    return [
        Statement.of(
            (query if first else query.where(stream > bindparam("after")))
            .order_by(stream)
            .limit(bindparam("most"))
        )
        for query, stream in sources
    ]
