"""The shape of each generation's tables, as the server has it, compared with that of the code."""

from functools import cache
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from sqlalchemy.types import TypeEngine

from application.context import TENANT
from application.projector.view_store import Slot
from infrastructure.database import Database
from infrastructure.views.sql.reader import TableGone
from infrastructure.views.sql.statements import DIALECT
from infrastructure.views.sql.tables import table_names, tables_of
from projections.projection import Projection

_SHAPE: Final = Path(__file__).with_name("shape.sql").read_bytes()


class Shape(Struct, frozen=True, kw_only=True):
    """A generation's revision, and the differences between its tables and the code.

    `lacks`: columns of the code that the tables do not have, or have with another type; `extra`:
    columns that only the tables have; `unindexed`: indexes that the tables do not have.
    """

    revision: int
    lacks: frozenset[str]
    extra: frozenset[str]
    unindexed: frozenset[str]

    def is_newer_than(self, projection: Projection[Any]) -> bool:
        """Whether a later release made it: this one would not write all of its columns."""
        if self.revision == projection.revision:
            return bool(self.extra)
        return self.revision > projection.revision

    def is_older_than(self, projection: Projection[Any]) -> bool:
        """Whether a rebuild by this release would add something."""
        if self.is_newer_than(projection):
            return False
        return self.revision < projection.revision or bool(self.lacks or self.unindexed)


class Shapes:
    """Reads the shapes of generations. The shape of a generation never changes, so it is cached."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[Slot[Any], Shape] = {}

    async def of(self, projection: Projection[Any], generation: int) -> Shape:
        """The shape of a generation. Raises `TableGone` and `Unavailable`."""
        whole = Slot(projection, generation)
        if (known := self._known.get(whole)) is not None:
            return known
        table, _ = table_names(projection.name, generation)
        given = {
            "tenant": TENANT,
            "name": projection.name,
            "generation": generation,
            "table": table,
        }
        rows = await self._database.rows(_SHAPE, given)
        if not rows:
            raise TableGone(TableGone.__doc__)
        revision, columns, indexes = rows[0]
        return self._known.setdefault(whole, _compared(whole, revision, columns, indexes))

    async def writable(self, projection: Projection[Any], generation: int) -> Slot[Any] | None:
        """The slot of a generation; None if it was dropped, or if a later release made it.

        Raises `Unavailable`.
        """
        try:
            shape = await self.of(projection, generation)
        except TableGone:
            return None
        if shape.is_newer_than(projection):
            return None
        return Slot(projection, generation, shape.lacks)

    async def slot(self, projection: Projection[Any], generation: int) -> Slot[Any]:
        """The slot of a generation, with the columns that it lacks. Raises what `of` raises."""
        shape = await self.of(projection, generation)
        return Slot(projection, generation, shape.lacks)


def _compared(
    whole: Slot[Any], revision: int, columns: dict[str, str], indexes: list[str]
) -> Shape:
    wanted = tables_of(whole).rows
    types = {column.name: type_name(column.type) for column in wanted.columns}
    return Shape(
        revision=revision,
        lacks=frozenset(name for name, type_ in types.items() if columns.get(name) != type_),
        extra=frozenset(columns.keys() - types.keys()),
        unindexed=frozenset(str(index.name) for index in wanted.indexes) - frozenset(indexes),
    )


@cache
def type_name(column_type: TypeEngine[Any]) -> str:
    """The name of a column's type as the server's catalogue writes it."""
    return column_type.compile(dialect=DIALECT).partition(" COLLATE")[0].lower()
