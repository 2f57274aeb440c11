"""The statements that write one slot's views, compiled once from its tables."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    ARRAY,
    ClauseElement,
    Column,
    ColumnElement,
    Table,
    TableValuedAlias,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSON, TSVECTOR, insert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from application.projector.view_store import PARTITION, Slot
from infrastructure.views.sql.catalogue import (
    CHECKPOINTS,
    PARKED,
    SKIPPED,
    checkpoint_of,
    parked_of,
    skipped_of,
    slot_row,
)
from infrastructure.views.sql.rows import BOOKKEEPING
from infrastructure.views.sql.tables import tables_of

_DIALECT: Final = PGDialect_psycopg()
_PARKED_EVENT: Final = ("stream", "version", "position", "event_id", "error")


class Statement(Struct, frozen=True):
    """SQL for psycopg, and its constant parameters."""

    sql: bytes
    constants: Mapping[str, Any]

    @classmethod
    def of(cls, clause: ClauseElement) -> "Statement":
        compiled = clause.compile(dialect=_DIALECT)
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
    count: Statement | None
    park: Statement


@cache
def statements_of(slot: Slot[Any]) -> SlotStatements:
    """The slot's statements; cached, because compiling them takes some milliseconds."""
    tables = tables_of(slot.projection, slot.generation)
    in_streams = PARKED.c.stream == _any_stream()
    return SlotStatements(
        position=Statement.of(select(CHECKPOINTS.c.position).where(checkpoint_of(slot))),
        fence=Statement.of(_fence(slot)),
        entries=Statement.of(select(*columns_of(slot)).where(tables.rows.c.id == _any_stream())),
        parked=Statement.of(select(PARKED.c.stream).distinct().where(parked_of(slot), in_streams)),
        skipped=Statement.of(_skipped(slot.projection.name)),
        store=Statement.of(_store(tables.rows)),
        count=None if tables.counters is None else Statement.of(_count(tables.counters)),
        park=Statement.of(_park(slot)),
    )


def columns_of(slot: Slot[Any]) -> list[ColumnElement[Any]]:
    """The columns that `RowFormat.entries` expects."""
    rows = tables_of(slot.projection, slot.generation).rows
    names = (*BOOKKEEPING, *slot.projection.view.__struct_fields__)
    # An id or version in the view is selected twice, so that the view's fields are consecutive.
    return [rows.c[name].label(f"column_{n}") for n, name in enumerate(names)]


def _skipped(projection: str) -> ClauseElement:
    in_streams = SKIPPED.c.stream == _any_stream()
    return select(SKIPPED.c.stream, SKIPPED.c.version).where(skipped_of(projection), in_streams)


def _fence(slot: Slot[Any]) -> ClauseElement:
    """Moves the checkpoint, unless another session has moved it."""
    return (
        update(CHECKPOINTS)
        .where(checkpoint_of(slot), CHECKPOINTS.c.position == bindparam("position"))
        .values(position=bindparam("reached"), updated_at=func.clock_timestamp())
    )


def _store(rows: Table) -> ClauseElement:
    """One statement for all rows of a page: JSON costs half as much as arrays, on both sides."""
    given = _given(rows.c)
    values = [_value(made, given.c[made.name]) for made in rows.c]
    insertion = insert(rows).from_select([made.name for made in rows.c], select(*values))
    return insertion.on_conflict_do_update(
        index_elements=["id"],
        set_={name: value for name, value in insertion.excluded.items() if name != "id"},
    )


def _count(counters: Table) -> ClauseElement:
    given = _given((counters.c.counter, counters.c.value))
    insertion = insert(counters).from_select(
        ["counter", "partition", "value"],
        select(given.c.counter, literal(PARTITION), given.c.value),
    )
    return insertion.on_conflict_do_update(
        index_elements=["counter", "partition"],
        set_={"value": counters.c.value + insertion.excluded.value},
    )


def _park(slot: Slot[Any]) -> ClauseElement:
    given = _given([PARKED.c[name] for name in _PARKED_EVENT])
    generation_columns = slot_row(slot)
    return (
        insert(PARKED)
        .from_select(
            [*generation_columns, *_PARKED_EVENT], select(*generation_columns.values(), *given.c)
        )
        .on_conflict_do_nothing()
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
