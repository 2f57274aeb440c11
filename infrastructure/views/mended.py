"""What was mended and may be copied somewhere, in Postgres."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from application.context import TENANT
from application.views import Slot, slots_of
from infrastructure.views.reader import ViewReader
from projections.projection import Projection

_WAITING: Final = text("""
SELECT m.id, m.generation, g.partitions, m.partition, m.stream
FROM mended m JOIN generations g
    ON g.tenant = m.tenant AND g.projection = m.projection AND g.generation = m.generation
WHERE m.tenant = :tenant AND m.projection = :name AND g.state = 'following'
ORDER BY m.id LIMIT 500""")
_REPLACED: Final = text("DELETE FROM mended WHERE id = ANY(:numbers) RETURNING id")


class PostgresMendedStreams:
    """See `MendedStreams`; of the projections it is given."""

    def __init__(self, reader: ViewReader, projections: Iterable[Projection[Any]]) -> None:
        self._reader = reader
        self._projections = {projection.name: projection for projection in projections}

    async def waiting(self, projection: str) -> Mapping[int, tuple[Slot[Any], UUID]]:
        """See `MendedStreams.waiting`."""
        known = self._projections[projection]
        rows = await self._reader.rows(_WAITING, {"tenant": TENANT, "name": projection})
        waiting: dict[int, tuple[Slot[Any], UUID]] = {}
        for number, generation, partitions, partition, stream in rows:
            waiting[number] = (slots_of(known, generation, partitions)[partition], stream)
        return waiting

    async def replaced(self, numbers: Collection[int]) -> None:
        """See `MendedStreams.replaced`."""
        await self._reader.rows(_REPLACED, {"numbers": list(numbers)})
