"""The projector: folds pages of the log into views, and parks what cannot be folded or stored."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic

from structlog import get_logger

from application.doorbell import PARKED, Doorbell, view_bell
from application.log.event_log import FeedPage
from application.log.follower import PageSource, follow
from application.projector.automatic_retry import Retry, retrying
from application.projector.fold import QUEUED, fold_page, park_unstorable
from application.projector.view_store import (
    ParkedEvent,
    Slot,
    Unstorable,
    ViewStore,
    ViewWriter,
)
from domain.event import Event, Recorded
from projections.projection import V

log = get_logger(__name__)


async def run_projector(
    slot: Slot[Any], store: ViewStore, pages: PageSource, doorbell: Doorbell, retry: Retry
) -> None:
    """Run the projector of one slot, and `retry`, while this process leads; cancel it to stop."""

    @asynccontextmanager
    async def lead() -> AsyncGenerator[Projector[Any]]:
        async with (
            Projector[Any].leading(store, slot, doorbell) as projector,
            retrying(slot, retry),
        ):
            yield projector

    await follow(str(slot), lead, pages, doorbell)


class Projector(Generic[V]):
    """The follower that updates the views of one slot."""

    def __init__(self, slot: Slot[V], writer: ViewWriter[V], doorbell: Doorbell) -> None:
        self._slot = slot
        self._writer = writer
        self._doorbell = doorbell

    @classmethod
    @asynccontextmanager
    async def leading(
        cls, store: ViewStore, slot: Slot[V], doorbell: Doorbell
    ) -> AsyncGenerator["Projector[V]"]:
        async with store.lead(slot) as writer:
            log.info("projector_leads", slot=str(slot), position=writer.position)
            yield cls(slot, writer, doorbell)

    @property
    def position(self) -> int:
        return self._writer.position

    async def handle(self, page: FeedPage) -> None:
        kinds = self._slot.projection.kinds
        mine = [recorded for recorded in page.events if recorded.kind in kinds]
        await self._project(mine, page.reached)
        self._doorbell.ring(view_bell(self._slot.projection.name))

    async def _project(self, events: Sequence[Recorded[Event]], reached: int) -> None:
        """Fold and store a page. Halves a page that cannot be stored, down to one event."""
        try:
            async with self._writer.page(reached, {event.stream for event in events}) as page:
                projection = self._slot.projection
                changes = fold_page(projection, page.entries, page.parked, events, page.skipped)
                await page.commit(changes)
        except Unstorable as error:
            if not events:
                raise
            if len(events) == 1:
                await self._park(events[0], error.reason, reached)
                return
            middle = len(events) // 2
            await self._project(events[:middle], events[middle - 1].position)
            await self._project(events[middle:], reached)
            return
        for parked in changes.parked:
            if parked.error != QUEUED:
                self._report(parked)

    async def _park(self, recorded: Recorded[Event], reason: str, reached: int) -> None:
        async with self._writer.page(reached, {recorded.stream}) as page:
            entry = page.entries.get(recorded.stream)
            changes = park_unstorable(self._slot.projection, entry, recorded, reason)
            await page.commit(changes)
        self._report(changes.parked[0])

    def _report(self, parked: ParkedEvent) -> None:
        log.warning(
            "event_parked",
            slot=str(self._slot),
            stream=str(parked.stream),
            version=parked.version,
            error=parked.error,
        )
        self._doorbell.ring(PARKED)
