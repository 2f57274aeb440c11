"""The slots that projectors follow: those of every filled generation, unless paused."""

from collections.abc import Collection, Iterable
from typing import Any, Final

from sqlalchemy import text

from application.context import TENANT
from application.errors import Unavailable
from application.projector.view_store import Slot
from infrastructure.views.sql.reader import ViewReader
from infrastructure.views.sql.shapes import Shapes
from projections.projection import Projection

_SERVING: Final = text("SELECT generation FROM projections WHERE tenant = :tenant AND name = :name")
_PREVIOUS: Final = text("""
SELECT g.generation
FROM generations g JOIN projections p ON p.tenant = g.tenant AND p.name = g.projection
WHERE g.tenant = :tenant AND g.projection = :name AND g.state = 'following'
  AND g.retired_at IS NOT NULL AND g.generation <> p.generation
ORDER BY g.retired_at DESC LIMIT 1""")


class PostgresPreviousGenerations:
    """See `PreviousGenerations`."""

    def __init__(self, reader: ViewReader) -> None:
        self._reader = reader

    async def serving(self, projection: str) -> int:
        rows = await self._reader.rows(_SERVING, {"tenant": TENANT, "name": projection})
        if not rows:
            raise Unavailable
        return rows[0][0]

    async def previous(self, projection: str) -> int | None:
        rows = await self._reader.rows(_PREVIOUS, {"tenant": TENANT, "name": projection})
        return rows[0][0] if rows else None


_FOLLOWED: Final = text("""
SELECT g.projection, g.generation
FROM generations g JOIN projections p ON p.tenant = g.tenant AND p.name = g.projection
WHERE g.tenant = :tenant AND g.state = 'following' AND p.paused_at IS NULL""")


class PostgresFollowedSlots:
    """See `FollowedSlots`; for the given projections, and not for generations of later releases."""

    def __init__(
        self, reader: ViewReader, shapes: Shapes, projections: Iterable[Projection[Any]]
    ) -> None:
        self._reader = reader
        self._shapes = shapes
        self._projections = {projection.name: projection for projection in projections}

    async def followed(self) -> Collection[Slot[Any]]:
        rows = await self._reader.rows(_FOLLOWED, {"tenant": TENANT})
        return [
            slot
            for name, generation in rows
            if (projection := self._projections.get(name)) is not None
            if (slot := await self._shapes.writable(projection, generation)) is not None
        ]
