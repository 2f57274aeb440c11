"""The serving generations, with their shapes."""

from typing import Any, Final

from application.context import TENANT
from application.errors import Unavailable
from application.projector.automatic_rebuild import Outdated
from application.projector.view_store import Slot
from infrastructure.database import Database
from infrastructure.views.sql.reader import TableGone
from infrastructure.views.sql.shapes import Shape, Shapes
from projections.projection import Projection, V

_SERVING: Final = """
SELECT generation FROM projections WHERE tenant = %(tenant)s AND name = %(name)s"""


class PostgresServingShapes:
    """See `ServingShapes`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shapes = Shapes(database)

    async def outdated(self, projection: Projection[Any]) -> Outdated | None:
        generation, shape = await self.shape(projection)
        if not shape.is_older_than(projection):
            return None
        return Outdated(generation, tuple(shape.lacks))

    async def slot(self, projection: Projection[V]) -> Slot[V]:
        """The serving slot. Raises `Unavailable`."""
        generation, shape = await self.shape(projection)
        return Slot(projection, generation, shape.lacks)

    async def shape(self, projection: Projection[Any]) -> tuple[int, Shape]:
        """The serving generation and its shape. Raises `Unavailable`, also if there is none yet."""
        rows = await self._database.rows(_SERVING, {"tenant": TENANT, "name": projection.name})
        if not rows:
            raise Unavailable
        try:
            return rows[0][0], await self._shapes.of(projection, rows[0][0])
        except TableGone as error:
            # Another generation serves since.
            raise Unavailable from error
