"""The projector: folds pages of the log into views, and parks what cannot be folded or stored."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Generic
from uuid import UUID

from structlog import get_logger

from application.doorbell import Doorbell, view_bell
from application.event_log import EventFeed, FeedPage, Unreadable
from application.failures import describe
from application.follower import follow
from application.shared_pages import SharedPages
from application.views import (
    Changes,
    Entry,
    ParkedEvent,
    Slot,
    Unstorable,
    ViewStore,
    ViewWriter,
)
from domain.event import Event, Recorded
from projections.projection import Projection, V

QUEUED: Final = "queued behind a parked event"
_CHAIN_BYTES: Final = 16

log = get_logger(__name__)


async def run_projectors(
    slots: Iterable[Slot[Any]], store: ViewStore, feed: EventFeed, doorbell: Doorbell
) -> None:
    """Keep the views of all slots, wherever this process leads; cancel it to stop."""
    pages = SharedPages(feed)
    async with asyncio.TaskGroup() as group:
        for slot in slots:
            lead = partial(Projector[Any].leading, store, slot, doorbell)
            group.create_task(follow(str(slot), lead, pages, doorbell))


class Projector(Generic[V]):
    """The follower that keeps one slot's views."""

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
        """See `Follower.position`."""
        return self._writer.position

    async def handle(self, page: FeedPage) -> None:
        """See `Follower.handle`."""
        kinds, holds = self._slot.projection.kinds, self._slot.holds
        mine = [recorded for recorded in page.events if recorded.kind in kinds]
        if self._slot.projection.partitions > 1:
            mine = [recorded for recorded in mine if holds(recorded.stream)]
        await self._project(mine, page.reached)
        self._doorbell.ring(view_bell(self._slot.projection.name))

    async def _project(self, events: Sequence[Recorded[Event]], reached: int) -> None:
        """Store what a page makes; a page that cannot be stored is halved down to the event."""
        try:
            async with self._writer.page(reached, {event.stream for event in events}) as page:
                projection = self._slot.projection
                changes = fold_page(projection, page.entries, page.parked, events)
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
        parked = _parked(recorded, reason)
        async with self._writer.page(reached, ()) as page:
            await page.commit(Changes[V](parked=[parked]))
        self._report(parked)

    def _report(self, parked: ParkedEvent) -> None:
        log.warning(
            "event_parked",
            slot=str(self._slot),
            stream=str(parked.stream),
            version=parked.version,
            error=parked.error,
        )


def fold_page(
    projection: Projection[V],
    entries: Mapping[UUID, Entry[V]],
    parked: AbstractSet[UUID],
    events: Iterable[Recorded[Event]],
) -> Changes[V]:
    """What the events make of the entries of their streams; an event seen before changes nothing.

    An event that cannot be read or folded, or whose predecessor is missing, is parked, and with it
    all later ones of its stream. Raises `Unstorable` where a view's contribution cannot be told.
    """
    changed: dict[UUID, Entry[V]] = {}
    held_back = set(parked)
    left_out: list[ParkedEvent] = []
    for recorded in events:
        stream = recorded.stream
        entry = changed.get(stream) or entries.get(stream) or Entry(None, 0, b"")
        if recorded.version <= entry.version:
            continue
        reason = None
        if stream in held_back:
            reason = QUEUED
        elif recorded.version > entry.version + 1:
            reason = f"version {entry.version + 1} is missing"
        elif isinstance(recorded.event, Unreadable):
            reason = recorded.event.reason
        else:
            try:
                changed[stream] = after(projection, entry, recorded)
            except Exception as error:
                reason = describe(error)
        if reason is not None:
            held_back.add(stream)
            left_out.append(_parked(recorded, reason))
    counters = _differences(projection, entries, changed)
    return Changes[V](entries=changed, counters=counters, parked=left_out)


def after(projection: Projection[V], entry: Entry[V], recorded: Recorded[Event]) -> Entry[V]:
    """The entry after its stream's next event. Raises what `evolve` raises."""
    return Entry(
        projection.evolve(entry.view, recorded),
        recorded.version,
        hashlib.sha256(entry.chain + recorded.event_id.bytes).digest()[:_CHAIN_BYTES],
    )


def contribution_of(projection: Projection[V], entry: Entry[V] | None) -> Mapping[str, int]:
    """What an entry adds to the counters. Raises what `contribution` raises."""
    if projection.contribution is None or entry is None or entry.view is None:
        return {}
    return projection.contribution(entry.view)


def _differences(
    projection: Projection[V], before: Mapping[UUID, Entry[V]], changed: Mapping[UUID, Entry[V]]
) -> dict[str, int]:
    sums = Counter[str]()
    try:
        for stream, entry in changed.items():
            sums.update(contribution_of(projection, entry))
            sums.subtract(contribution_of(projection, before.get(stream)))
    except Exception as error:
        raise Unstorable(describe(error)) from error
    return {counter: difference for counter, difference in sums.items() if difference}


def _parked(recorded: Recorded[Event], reason: str) -> ParkedEvent:
    return ParkedEvent(
        stream=recorded.stream,
        version=recorded.version,
        position=recorded.position,
        event_id=recorded.event_id,
        error=reason,
    )
