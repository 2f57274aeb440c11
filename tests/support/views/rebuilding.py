"""Rebuilds on a real server for tests, with projectors as in a process of the product."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from uuid_utils.compat import uuid7

from application.projector.admin import ProjectionAdmin
from application.projector.backfill import Report
from application.projector.following import run_followers
from application.projector.rebuild import RebuildPorts, SwitchIf, rebuild
from infrastructure.event_store.feed import PostgresEventsByStream
from infrastructure.views.generations.store import PostgresGenerations
from infrastructure.views.projector.admin import PostgresProjectionAdmin
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.projector.followed_slots import (
    PostgresFollowedSlots,
    PostgresPreviousGenerations,
)
from infrastructure.views.projector.parked import PostgresParkedStreams
from infrastructure.views.sql.reader import ViewReader
from infrastructure.views.sql.shapes import Shapes
from projections.projection import Projection
from projections.registry import PROJECTIONS
from tests.support.views.compare_views import differences, views_in
from tests.support.views.directory import ReadSide, execute
from tests.support.views.projectors import run_projectors
from tests.support.views.replay import Differences


async def ignore_progress(done: int, total: int | None) -> None:
    """A report that does nothing."""


class Rebuilder:
    """The generations of some projections over one read side."""

    def __init__(
        self,
        read_side: ReadSide,
        slots: PostgresFollowedSlots,
        reader: ViewReader,
        projections: Iterable[Projection[Any]],
    ) -> None:
        self.read_side = read_side
        self.url = read_side.url
        self.database = read_side.events.database
        self.slots = slots
        self.projections = {projection.name: projection for projection in projections}
        events = read_side.events
        parked_streams = PostgresParkedStreams(self.database, self.projections.values())
        self.ports = RebuildPorts(
            generations=PostgresGenerations(self.database),
            events_by_stream=PostgresEventsByStream(events.database, events.mapper),
            parked_streams=parked_streams,
            removed_skips=parked_streams,
        )
        self.previous_generations = PostgresPreviousGenerations(reader)
        self.admin = ProjectionAdmin(
            self.projections,
            PostgresProjectionAdmin(reader),
            parked_streams,
            parked_streams,
            self.ports.events_by_stream,
            self.previous_generations,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, projections: Iterable[Projection[Any]] = PROJECTIONS
    ) -> AsyncGenerator[Self]:
        """Opens over a migrated database; projects nothing yet."""
        projections = list(projections)
        async with ReadSide.open(url) as read_side:
            await ensure_views(url, projections)
            reader = ViewReader(read_side.events.database)
            slots = PostgresFollowedSlots(reader, Shapes(read_side.events.database), projections)
            yield cls(read_side, slots, reader, projections)

    @asynccontextmanager
    async def projecting(self) -> AsyncGenerator[None]:
        """Run the projectors on all generations until the block ends."""
        read_side = self.read_side

        async def follow(slot: Any) -> None:
            await run_projectors([slot], read_side.views, read_side.events.feed, read_side.doorbell)

        task = asyncio.create_task(run_followers("test", self.slots, read_side.doorbell, follow))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def rebuild(
        self,
        name: str = "users",
        *,
        by: str | None = None,
        report: Report = ignore_progress,
        switch_if: SwitchIf = "always",
    ) -> dict[str, Any]:
        """Rebuild as a job does; each call has a new name unless `by` is given."""
        by = by or str(uuid7())
        return await rebuild(self.projections[name], by, self.ports, report, switch_if)

    async def verify(self, name: str = "users", *, repair: bool = False) -> dict[str, Any]:
        """Verify as a job does."""
        return await self.rebuild(name, switch_if="differing" if repair else "never")

    async def generations(self, name: str = "users") -> list[tuple[int, str]]:
        """The number and state of all generations that are not dropped."""
        return await execute(
            self.url,
            """SELECT generation, state FROM generations
            WHERE projection = %s AND state <> 'dropped' ORDER BY 1""",
            name,
        )

    async def caught_up(self, name: str = "users") -> int:
        """The head of the log, once all followed generations have reached it."""
        head = await self.read_side.events.feed.head()
        reached = """SELECT min(position) FROM checkpoints
            JOIN generations USING (tenant, projection, generation)
            WHERE projection = %s AND state = 'following'"""
        async with asyncio.timeout(30):
            while (await execute(self.url, reached, name))[0][0] < head:
                await asyncio.sleep(0.02)
        return head

    async def differences(self, *, since: int = 0) -> list[Differences]:
        """The differences from a fold of the log, in all followed generations from a number on."""
        views, histories = views_in(self.url), self.ports.events_by_stream
        return [
            found
            for slot in await self.slots.followed()
            if slot.generation >= since
            if (found := await differences(views, histories, [slot]))
        ]
