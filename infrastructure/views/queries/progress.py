"""How far a projection is, and waiting until it is far enough."""

import asyncio
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ClauseElement, select

from application.doorbell import Doorbell, view_bell
from application.errors import PositionAhead, Unavailable, ViewBehind
from application.log.event_log import EventFeed
from application.projector.view_store import ProjectionProgress
from infrastructure.views.sql.catalogue import CHECKPOINTS, PROJECTIONS, serving
from infrastructure.views.sql.reader import ViewReader
from projections.projection import Projection

TIMEOUT_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.5


class StandingOf:
    """One projection's standing for all who ask: who waits shares the reads of those who wait."""

    def __init__(
        self, projection: Projection[Any], reader: ViewReader, feed: EventFeed, doorbell: Doorbell
    ) -> None:
        self._name = projection.name
        self._reader = reader
        self._feed = feed
        self._doorbell = doorbell
        self._last_seen: ProjectionProgress | None = None
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[ProjectionProgress] | None = None

    async def last_seen(self) -> ProjectionProgress:
        """The newest standing that was read, however long ago."""
        return self._last_seen or await self.now()

    async def another_than(self, generation: int) -> ProjectionProgress:
        """The standing, now that a generation no longer serves. Raises `Unavailable`."""
        standing = await self.now()
        if standing.generation == generation:
            raise Unavailable
        return standing

    async def now(self) -> ProjectionProgress:
        """The standing at some moment after the call. Raises `Unavailable`."""
        if self._next is None:
            self._next = asyncio.create_task(self._read())
        # Others wait for the same task: one who leaves must not take it along.
        return await asyncio.shield(self._next)

    async def at_least(self, position: int, stream: UUID | None = None) -> ProjectionProgress:
        """The standing once all views, or one stream's, have reached a position.

        Raises `PositionAhead`, `ViewBehind` after 2 s, and `Unavailable`.
        """
        deadline = asyncio.get_running_loop().time() + TIMEOUT_SECONDS
        async with self._doorbell.listen(view_bell(self._name)) as bell:
            head = None
            while True:
                standing = await self.now()
                reached = standing.position if stream is None else standing.position_of(stream)
                if reached >= position:
                    return standing
                head = await self._feed.head() if head is None else head
                if position > head:
                    raise PositionAhead(head)
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    raise ViewBehind(reached)
                await bell.wait(min(left, _POLL_SECONDS))

    async def _read(self) -> ProjectionProgress:
        async with self._one_at_a_time:
            # Whoever asks from here on may know of something newer than this read will show.
            self._next = None
            rows = await self._reader.rows(_standing(self._name))
        if not rows:
            raise Unavailable
        self._last_seen = ProjectionProgress(rows[0][0], {row[1]: row[2] for row in rows})
        return self._last_seen


@cache
def _standing(projection: str) -> ClauseElement:
    return select(PROJECTIONS.c.generation, CHECKPOINTS.c.partition, CHECKPOINTS.c.position).where(
        serving(projection)
    )
