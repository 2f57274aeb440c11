"""The tables of the views: one set per generation, made from the view struct's annotations."""

import types
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, TSVECTOR
from sqlalchemy.types import TypeEngine

from application.projector.view_store import Slot
from projections.projection import Projection

_TYPES: Final[Mapping[Any, TypeEngine[Any]]] = {
    str: Text(),
    int: BigInteger(),
    bool: Boolean(),
    float: Double(),
    UUID: Uuid(),
    datetime: TIMESTAMP(timezone=True),
    date: Date(),
    dict: JSONB(),
    list: JSONB(),
}

# Sorted by code points, independent of the database's collation.
_KEY: Final = Text(collation="C")


class Field(Struct, frozen=True):
    """One annotation of a view as a column."""

    name: str
    type: TypeEngine[Any]
    optional: bool


class ViewTables(Struct, frozen=True):
    """One generation of a projection: one row per stream, and the counters if it has any.

    A row has the view's fields, the keys and words computed from them, and `id`, `version`, `chain`
    and `partition`. If `shown` is false, it has only the latter: the stream has no view.
    """

    rows: Table
    counters: Table | None

    @property
    def all(self) -> tuple[Table, ...]:
        return (self.rows,) if self.counters is None else (self.rows, self.counters)


@cache
def tables_of(slot: Slot[Any]) -> ViewTables:
    """The tables of a generation, such as `users_g1`, without the columns that it lacks.

    The same objects each time.
    """
    _, counted = table_names(slot.projection.name, slot.generation)
    metadata = MetaData()
    counters = None
    if slot.projection.contribution is not None:
        counters = _counters(counted, metadata)
    return ViewTables(_rows(slot, metadata), counters)


def table_names(projection: str, generation: int) -> tuple[str, str]:
    """The names of a generation's tables: of the rows, and of the counters if it has any."""
    rows = f"{projection}_g{generation}"
    return rows, f"{rows}_counters"


@cache
def fields_of(view: type[Struct]) -> tuple[Field, ...]:
    """The columns for a view's annotations, in their order.

    Raises `TypeError` for an annotation without a column type.
    """
    hints = get_type_hints(view)
    return tuple(_field(name, hints[name]) for name in view.__struct_fields__)


def default_of(view: type[Struct], name: str) -> Any:
    """The default of a view's field; None if it has none, or if the view has no such field."""
    for field in msgspec.structs.fields(view):
        if field.name == name and field.default is not msgspec.NODEFAULT:
            return field.default
        if field.name == name and field.default_factory is not msgspec.NODEFAULT:
            return field.default_factory()
    return None


@cache
def required_columns(projection: Projection[Any]) -> tuple[str, ...]:
    """The columns that have a value in the row of every view."""
    optional = {field.name for field in fields_of(projection.view) if field.optional}
    return tuple(name for name in projection.columns if name not in optional)


def bare_rows(slot: Slot[Any]) -> Table:
    """The table of the rows without any index, not even its primary key."""
    return _rows(slot, MetaData(), bare=True)


def _rows(slot: Slot[Any], metadata: MetaData, *, bare: bool = False) -> Table:
    projection = slot.projection
    name, _ = table_names(projection.name, slot.generation)
    made = [
        Column(field.name, field.type)
        for field in fields_of(projection.view)
        if field.name not in ("id", "version")
    ]
    made += [Column(key.name, _KEY) for key in projection.keys]
    made += [Column(words.name, TSVECTOR()) for words in projection.words]
    table = Table(
        name,
        metadata,
        Column("id", Uuid(), primary_key=not bare, nullable=False),
        Column("version", BigInteger(), nullable=False),
        Column("chain", LargeBinary(), nullable=False),
        Column("partition", Integer(), nullable=False),
        Column("shown", Boolean(), nullable=False),
        *(column for column in made if column.name not in slot.lacks),
    )
    if bare:
        return table
    for columns in projection.indexes:
        if slot.lacks.isdisjoint(columns):
            Index(f"{name}_{'_'.join(columns)}", *(table.c[column] for column in columns))
    for words in projection.words:
        if words.name in slot.lacks:
            continue
        Index(f"{name}_{words.name}", table.c[words.name], postgresql_using="gin")
    return table


def _counters(name: str, metadata: MetaData) -> Table:
    return Table(
        name,
        metadata,
        Column("counter", _KEY, primary_key=True),
        Column("partition", Integer(), primary_key=True),
        Column("value", BigInteger(), nullable=False),
        # Every page updates the same few rows: with free space beside them, no index changes (HOT).
        postgresql_with={"fillfactor": "50"},
    )


def _field(name: str, annotation: Any) -> Field:
    optional = False
    if get_origin(annotation) in (Union, types.UnionType):
        alternatives = [arm for arm in get_args(annotation) if arm is not types.NoneType]
        optional = len(alternatives) < len(get_args(annotation))
        if len(alternatives) != 1:
            raise TypeError(f"no column fits {name}: {annotation}")
        annotation = alternatives[0]
    if get_origin(annotation) is Literal and _are_texts(get_args(annotation)):
        annotation = str
    plain = get_origin(annotation) or annotation
    if plain not in _TYPES:
        raise TypeError(f"no column fits {name}: {annotation}")
    return Field(name, _TYPES[plain], optional)


def _are_texts(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)
