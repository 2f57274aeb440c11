"""Reads the progress of a projection, and waits until it has reached a position."""

import asyncio
from functools import cache
from typing import Any, Final

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


class ProjectionProgressReader:
    """Reads one projection's progress; concurrent callers share one read."""

    def __init__(
        self, projection: Projection[Any], reader: ViewReader, feed: EventFeed, doorbell: Doorbell
    ) -> None:
        self._name = projection.name
        self._reader = reader
        self._feed = feed
        self._doorbell = doorbell
        self._last_read: ProjectionProgress | None = None
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[ProjectionProgress] | None = None

    async def last_read(self) -> ProjectionProgress:
        """The progress of the last read, of any age."""
        return self._last_read or await self.read()

    async def progress_after_switch(self, generation: int) -> ProjectionProgress:
        """The progress of the generation that replaced it. Raises `Unavailable` if none has."""
        progress = await self.read()
        if progress.generation == generation:
            raise Unavailable
        return progress

    async def read(self) -> ProjectionProgress:
        """The progress, read after this call. Raises `Unavailable`."""
        if self._next is None:
            self._next = asyncio.create_task(self._read())
        # Other callers wait for the same task: cancelling one caller must not cancel it.
        return await asyncio.shield(self._next)

    async def wait_for_position(self, position: int) -> ProjectionProgress:
        """Waits until the view has reached a position.

        Raises `PositionAhead`, `ViewBehind` after 2 s, and `Unavailable`.
        """
        deadline = asyncio.get_running_loop().time() + TIMEOUT_SECONDS
        async with self._doorbell.listen(view_bell(self._name)) as bell:
            head = None
            while True:
                progress = await self.read()
                if progress.position >= position:
                    return progress
                head = await self._feed.head() if head is None else head
                if position > head:
                    raise PositionAhead(head)
                remaining = deadline - asyncio.get_running_loop().time()
                if remaining <= 0:
                    raise ViewBehind(progress.position)
                await bell.wait(min(remaining, _POLL_SECONDS))

    async def _read(self) -> ProjectionProgress:
        async with self._one_at_a_time:
            # A later caller may expect newer data than this read shows, so it starts a new read.
            self._next = None
            rows = await self._reader.rows(_progress_statement(self._name), by_key=True)
        if not rows:
            raise Unavailable
        self._last_read = ProjectionProgress(*rows[0])
        return self._last_read


@cache
def _progress_statement(projection: str) -> ClauseElement:
    return select(PROJECTIONS.c.generation, CHECKPOINTS.c.position).where(serving(projection))
