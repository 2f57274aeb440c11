"""Reads all that is stored of a slot, and compares it with a replay of the log, for tests."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg import IsolationLevel
from sqlalchemy import func, select

from application.log.by_stream import EventsByStream
from application.projector.view_store import PARTITION, Entry, Slot
from infrastructure.event_store.feed import PostgresEventsByStream
from infrastructure.views.sql.rows import BOOKKEEPING, RowFormat
from infrastructure.views.sql.statements import Statement, columns_of, statements_of
from infrastructure.views.sql.tables import tables_of
from interfaces.composition.event_store import EventStore
from tests.support.views.replay import Differences, ReadSlot, Snapshot, replay_differences

_PARKED: Final = b"""
SELECT stream, version FROM parked
WHERE projection = %(name)s AND generation = %(generation)s"""
_SKIPPED: Final = b"""
SELECT stream, version FROM skipped WHERE projection = %(name)s AND removed_at IS NULL"""


async def ignore_progress(done: int, total: int | None) -> None:
    """A report that does nothing."""


async def differences(
    read: ReadSlot, histories: EventsByStream, slots: Sequence[Slot[Any]]
) -> Differences:
    """The differences in these slots, each as it is now."""
    found = [await replay_differences(slot, await read(slot), histories) for slot in slots]
    return Differences(
        streams=frozenset(stream for each in found for stream in each.streams),
        counters=frozenset(name for each in found for name in each.counters),
    )


async def snapshot(read: ReadSlot, slot: Slot[Any]) -> Snapshot[Any]:
    """All that is stored for a slot."""
    return await read(slot)


def views_in(database_url: str) -> ReadSlot:
    """Reads slots of a database."""

    async def read(slot: Slot[Any]) -> Snapshot[Any]:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            return await _read(connection, slot)

    return read


async def _read(connection: psycopg.AsyncConnection[Any], slot: Slot[Any]) -> Snapshot[Any]:
    tables, projection = tables_of(slot), slot.projection

    async def rows(statement: Statement) -> list[Any]:
        cursor = await connection.execute(statement.sql, statement.constants, binary=True)
        return await cursor.fetchall()

    [(position,)] = await rows(statements_of(slot).position)
    c = tables.rows.c
    made = [c[key.name] for key in projection.keys]
    made += [func.tsvector_to_array(c[words.name]) for words in projection.words]
    stored = await rows(Statement.of(select(*columns_of(slot), c.partition, *made)))
    end = len(BOOKKEEPING) + len(projection.view.__struct_fields__)
    entries = RowFormat(slot).entries([row[:end] for row in stored])
    counters: list[Any] = []
    if (table := tables.counters) is not None:
        counters = await rows(Statement.of(select(table.c.counter, table.c.value)))
    names = {"name": projection.name, "generation": slot.generation}
    parked = await rows(Statement(_PARKED, names))
    skips = await rows(Statement(_SKIPPED, names))
    return Snapshot(
        position=position,
        entries=entries,
        counters={name: value for name, value in counters if value},
        parked=dict(parked),
        skipped={(stream, version) for stream, version in skips},
        odd={row[0] for row in stored if not _is_whole(slot, entries[row[0]], row[end:])},
    )


def _is_whole(slot: Slot[Any], entry: Entry[Any], columns: Sequence[Any]) -> bool:
    """Whether the columns of partition, keys and words are those of the view."""
    projection, (partition, *made) = slot.projection, columns
    if entry.view is None:
        return partition == PARTITION and not any(each is not None for each in made)
    keys = [key.of(entry.view) for key in projection.keys]
    words = [set(each.of(entry.view)) for each in projection.words]
    found = [*made[: len(keys)], *(set(each) for each in made[len(keys) :])]
    return partition == PARTITION and found == [*keys, *words]


def events_by_stream_of(events: EventStore) -> PostgresEventsByStream:
    """The log of an event store, stream by stream."""
    return PostgresEventsByStream(events.database, events.mapper)
