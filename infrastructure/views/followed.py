"""Which slots are to be followed: those of every generation that is filled, unless paused."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Self

from sqlalchemy import text

from application.context import TENANT
from application.views import Slot, slots_of
from infrastructure.views.reader import ViewReader
from projections.projection import Projection, V

_FOLLOWED: Final = text("""
SELECT g.projection, g.generation, g.partitions
FROM generations g JOIN projections p ON p.tenant = g.tenant AND p.name = g.projection
WHERE g.tenant = :tenant AND g.state = 'following' AND p.paused_at IS NULL""")

_FILLED: Final = text("""
SELECT generation, partitions FROM generations
WHERE tenant = :tenant AND projection = :name AND state = 'following'
ORDER BY generation""")


class PostgresFollowedSlots:
    """See `FollowedSlots` and `FilledGenerations`; of the projections that this release knows."""

    def __init__(self, reader: ViewReader, projections: Iterable[Projection[Any]]) -> None:
        self._reader = reader
        self._projections = {projection.name: projection for projection in projections}

    def only(self, *projections: Projection[Any]) -> Self:
        """The same, of these projections."""
        return type(self)(self._reader, projections)

    async def followed(self) -> Collection[Slot[Any]]:
        """See `FollowedSlots.followed`."""
        rows = await self._reader.rows(_FOLLOWED, {"tenant": TENANT})
        return [
            slot
            for name, generation, partitions in rows
            if name in self._projections
            for slot in slots_of(self._projections[name], generation, partitions)
        ]

    async def filled(self, projection: Projection[V]) -> Sequence[Sequence[Slot[V]]]:
        """See `FilledGenerations.filled`."""
        rows = await self._reader.rows(_FILLED, {"tenant": TENANT, "name": projection.name})
        return [slots_of(projection, generation, partitions) for generation, partitions in rows]
