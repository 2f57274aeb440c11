"""The statements that write one slot's views, compiled once from its tables."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import asdict
from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from sqlalchemy import (
    ARRAY,
    ClauseElement,
    Column,
    ColumnElement,
    Subquery,
    Table,
    TableValuedAlias,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    delete,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import JSON, TSVECTOR, insert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from application.context import TENANT
from application.projector.view_store import ParkedEvent, Slot
from infrastructure.postgres import Connection
from infrastructure.views.sql.rows import BOOKKEEPING
from infrastructure.views.sql.tables import default_of, tables_of

DIALECT: Final = PGDialect_psycopg()

_POSITION: Final = b"""
SELECT position FROM checkpoints
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND partition = 0"""
# Moves the checkpoint, unless another session has moved it.
_FENCE: Final = b"""
UPDATE checkpoints SET position = %(reached)s, updated_at = clock_timestamp()
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND partition = 0 AND position = %(position)s"""
_PARKED: Final = b"""
SELECT stream FROM parked
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s
  AND stream = ANY(%(streams)s::uuid[])"""
_SKIPPED: Final = b"""
SELECT stream, version FROM skipped
WHERE tenant = %(tenant)s AND projection = %(name)s AND stream = ANY(%(streams)s::uuid[])
  AND removed_at IS NULL"""
# Of a stream that is parked already, only the last version changes.
_PARK: Final = b"""
INSERT INTO parked AS k
    (tenant, projection, generation, stream, version, last_version, position, event_id, error,
     retry_at)
SELECT %(tenant)s::text, %(name)s::text, %(generation)s::integer,
       r.stream, r.version, r.last_version, r.position, r.event_id, r.error,
       CASE WHEN r.unreadable THEN clock_timestamp() + interval '60 seconds' END
FROM json_to_recordset(%(rows)s::text::json)
    AS r (stream uuid, version bigint, last_version bigint, position bigint, event_id uuid,
          error text, unreadable boolean)
ON CONFLICT (tenant, projection, generation, stream) DO UPDATE
SET last_version = greatest(k.last_version, excluded.last_version)"""
_COUNT: Final = """
INSERT INTO {counters} AS c (counter, partition, value)
SELECT r.counter, 0, r.value
FROM json_to_recordset(%(rows)s::text::json) AS r (counter text, value bigint)
ON CONFLICT (counter, partition) DO UPDATE SET value = c.value + excluded.value"""


class Statement(Struct, frozen=True):
    """SQL for psycopg, and its constant parameters."""

    sql: bytes
    constants: Mapping[str, Any]

    @classmethod
    def of(cls, clause: ClauseElement) -> "Statement":
        compiled = clause.compile(dialect=DIALECT)
        given = compiled.params or {}
        constants = {name: value for name, value in given.items() if value is not None}
        return cls(str(compiled).encode(), constants)


class SlotStatements(Struct, frozen=True, kw_only=True):
    """Parameters: `reached`, `position`, `streams`, and `rows` for a JSON array of rows."""

    position: Statement
    fence: Statement
    entries: Statement
    parked: Statement
    skipped: Statement
    store: Statement
    remove: Statement
    count: Statement | None
    park: Statement


@cache
def statements_of(slot: Slot[Any]) -> SlotStatements:
    """The slot's statements; cached, because compiling them takes some milliseconds."""
    tables = tables_of(slot)
    names = {"tenant": TENANT, "name": slot.projection.name, "generation": slot.generation}
    count = None
    if tables.counters is not None:
        count = Statement(_COUNT.format(counters=tables.counters.name).encode(), {})
    return SlotStatements(
        position=Statement(_POSITION, names),
        fence=Statement(_FENCE, names),
        entries=Statement.of(select(*columns_of(slot)).where(tables.rows.c.id == _any_stream())),
        parked=Statement(_PARKED, names),
        skipped=Statement(_SKIPPED, names),
        store=Statement.of(_store(tables.rows)),
        remove=Statement.of(delete(tables.rows).where(tables.rows.c.id == _any_stream())),
        count=count,
        park=Statement(_PARK, names),
    )


async def run(
    connection: Connection, statement: Statement, parameters: Mapping[str, Any]
) -> AsyncCursor[TupleRow]:
    """Execute a statement."""
    return await connection.execute(
        statement.sql, {**statement.constants, **parameters}, binary=True
    )


def counter_rows(differences: Mapping[str, int]) -> str:
    """The parameter `rows` of `count`."""
    rows = [{"counter": name, "value": value} for name, value in differences.items()]
    return msgspec.json.encode(rows).decode()


def parked_rows(parked: Iterable[ParkedEvent]) -> str:
    """The parameter `rows` of `park`: one for each stream, whose events come in order."""
    rows: dict[UUID, dict[str, Any]] = {}
    for event in parked:
        row = rows.setdefault(event.stream, asdict(event))
        row["last_version"] = event.version
    return msgspec.json.encode(list(rows.values())).decode()


def columns_of(slot: Slot[Any]) -> list[ColumnElement[Any]]:
    """The columns that `RowFormat.entries` expects."""
    rows = tables_of(slot).rows
    names = (*BOOKKEEPING, *slot.projection.view.__struct_fields__)
    # An id or version in the view is selected twice, so that the view's fields are consecutive.
    return [column_of(slot, rows, name).label(f"column_{n}") for n, name in enumerate(names)]


def column_of(slot: Slot[Any], rows: Table | Subquery, name: str) -> ColumnElement[Any]:
    """A column of the slot's rows; one that the slot lacks has its default, or NULL."""
    if name not in slot.lacks:
        return rows.c[name]
    default = default_of(slot.projection.view, name)
    if default is None:
        return null()
    return literal(default, tables_of(Slot(slot.projection)).rows.c[name].type)


def _store(rows: Table) -> ClauseElement:
    """One statement for all rows of a page: JSON costs half as much as arrays, on both sides."""
    given = _given(rows.c)
    values = [_value(made, given.c[made.name]) for made in rows.c]
    insertion = insert(rows).from_select([made.name for made in rows.c], select(*values))
    return insertion.on_conflict_do_update(
        index_elements=["id"],
        set_={name: value for name, value in insertion.excluded.items() if name != "id"},
    )


def _given(columns: Iterable[Column[Any]]) -> TableValuedAlias:
    """The JSON parameter `rows` as a table with these columns."""
    typed = [column(made.name, _given_type(made)) for made in columns]
    rows = cast(bindparam("rows", type_=Text()), JSON())
    return func.json_to_recordset(rows).table_valued(*typed).render_derived("r", with_types=True)


def _given_type(made: Column[Any]) -> Any:
    return ARRAY(Text()) if isinstance(made.type, TSVECTOR) else made.type


def _value(made: Column[Any], given: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.array_to_tsvector(given) if isinstance(made.type, TSVECTOR) else given


def _any_stream() -> ColumnElement[Any]:
    return func.any(bindparam("streams", type_=ARRAY(Uuid())))
