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

from msgspec.structs import replace
from structlog import get_logger

from application.doorbell import PARKED, Doorbell, view_bell
from application.failures import describe
from application.log.event_log import EventFeed, FeedPage, Unreadable
from application.log.follower import PageSource, follow
from application.log.shared_pages import SharedPages
from application.projector.erased_entries import erases, without_person
from application.projector.view_store import (
    Changes,
    Entry,
    ParkedEvent,
    Skipped,
    Slot,
    Unstorable,
    ViewStore,
    ViewWriter,
)
from domain.event import Event, Recorded
from projections.projection import Projection, V

QUEUED: Final = "queued behind a parked event"
NOTHING: Final[Entry[Any]] = Entry(None, 0, b"")
"""The entry of a stream of which nothing was seen."""

_CHAIN_BYTES: Final = 16

log = get_logger(__name__)


async def run_projectors(
    slots: Iterable[Slot[Any]], store: ViewStore, feed: EventFeed, doorbell: Doorbell
) -> None:
    """Keep the views of all slots, wherever this process leads; cancel it to stop."""
    pages = SharedPages(feed)
    async with asyncio.TaskGroup() as group:
        for slot in slots:
            group.create_task(run_projector(slot, store, pages, doorbell))


async def run_projector(
    slot: Slot[Any], store: ViewStore, pages: PageSource, doorbell: Doorbell
) -> None:
    """Keep the views of one slot, while this process leads it; cancel it to stop."""
    lead = partial(Projector[Any].leading, store, slot, doorbell)
    await follow(str(slot), lead, pages, doorbell)


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
            changes = refused(self._slot.projection, entry, recorded, reason)
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


def fold_page(
    projection: Projection[V],
    entries: Mapping[UUID, Entry[V]],
    parked: AbstractSet[UUID],
    events: Iterable[Recorded[Event]],
    skipped: Skipped = frozenset(),
) -> Changes[V]:
    """What the events make of a page's views. See `fold_events`.

    Raises `Unstorable` where a view's contribution cannot be told.
    """
    changed, left_out = fold_events(projection, entries, parked, events, skipped)
    counters = counted(projection, entries, changed)
    return Changes[V](entries=changed, counters=counters, parked=left_out)


def fold_events(
    projection: Projection[V],
    entries: Mapping[UUID, Entry[V]],
    parked: AbstractSet[UUID],
    events: Iterable[Recorded[Event]],
    skipped: Skipped = frozenset(),
) -> tuple[dict[UUID, Entry[V]], list[ParkedEvent]]:
    """The entries that the events change, and what is parked; one seen before changes nothing.

    An event that cannot be read or folded, or whose predecessor is missing, is parked, and with it
    all later ones of its stream; an erasure among them still takes the person out of the view.
    """
    changed: dict[UUID, Entry[V]] = {}
    held_back = set(parked)
    left_out: list[ParkedEvent] = []
    for recorded in events:
        stream = recorded.stream
        entry = changed.get(stream) or entries.get(stream) or NOTHING
        if recorded.version <= entry.version:
            continue
        folded = QUEUED
        if stream not in held_back:
            folded = entry_after(projection, entry, recorded, skipped)
        if isinstance(folded, Entry):
            changed[stream] = folded
        else:
            held_back.add(stream)
            left_out.append(parked_event(recorded, folded))
            if erases(recorded) and entry.view is not None:
                changed[stream] = without_person(projection, entry, recorded)
    return changed, left_out


def entry_after(
    projection: Projection[V], entry: Entry[V], recorded: Recorded[Event], skipped: Skipped
) -> Entry[V] | str:
    """The entry after a later event of its stream, or why the event is to be parked.

    A skipped event changes no view, but counts as seen; of an erasure the person does not stay.
    """
    if recorded.version != entry.version + 1:
        return f"version {entry.version + 1} is missing"
    if skipped and (recorded.stream, recorded.version) in skipped:
        return _passed_over(projection, entry, recorded)
    if isinstance(recorded.event, Unreadable):
        return recorded.event.reason
    try:
        return after(projection, entry, recorded)
    except Exception as error:
        return describe(error)


def _passed_over(projection: Projection[V], entry: Entry[V], recorded: Recorded[Event]) -> Entry[V]:
    """The entry once the event counts as seen; a view that shows its version shows the event's."""
    view = without_person(projection, entry, recorded).view if erases(recorded) else entry.view
    if view is not None and "version" in view.__struct_fields__:
        view = replace(view, version=recorded.version)
    return Entry(view, recorded.version, chained(entry, recorded))


def after(projection: Projection[V], entry: Entry[V], recorded: Recorded[Event]) -> Entry[V]:
    """The entry after its stream's next event. Raises what `evolve` raises."""
    view = projection.evolve(entry.view, recorded)
    return Entry(view, recorded.version, chained(entry, recorded))


def chained(entry: Entry[Any], recorded: Recorded[Event]) -> bytes:
    """The chain of an entry after its stream's next event."""
    return hashlib.sha256(entry.chain + recorded.event_id.bytes).digest()[:_CHAIN_BYTES]


def contribution_of(projection: Projection[V], entry: Entry[V] | None) -> Mapping[str, int]:
    """What an entry adds to the counters. Raises what `contribution` raises."""
    if projection.contribution is None or entry is None or entry.view is None:
        return {}
    return projection.contribution(entry.view)


def counted(
    projection: Projection[V], before: Mapping[UUID, Entry[V]], changed: Mapping[UUID, Entry[V]]
) -> dict[str, int]:
    """What the changes add to each counter. Raises `Unstorable` where that cannot be told."""
    if projection.contribution is None:
        return {}
    sums = Counter[str]()
    try:
        for stream, entry in changed.items():
            sums.update(contribution_of(projection, entry))
            sums.subtract(contribution_of(projection, before.get(stream)))
    except Exception as error:
        raise Unstorable(describe(error)) from error
    return {counter: difference for counter, difference in sums.items() if difference}


def refused(
    projection: Projection[V], entry: Entry[V] | None, recorded: Recorded[Event], reason: str
) -> Changes[V]:
    """What becomes of an event whose view cannot be stored: it is parked.

    Where it is an erasure there is no view at all from then on.
    """
    parked = parked_event(recorded, reason)
    if entry is None or not erases(recorded):
        return Changes(parked=[parked])
    gone = Entry[V](None, entry.version, entry.chain)
    try:
        counters = counted(projection, {recorded.stream: entry}, {recorded.stream: gone})
    except Unstorable:
        # A sum that is wrong can be counted again; a person who stays cannot be explained.
        counters = {}
    return Changes(entries={recorded.stream: gone}, counters=counters, parked=[parked])


def parked_event(recorded: Recorded[Event], reason: str) -> ParkedEvent:
    """The event as it is parked for that reason."""
    return ParkedEvent(
        stream=recorded.stream,
        version=recorded.version,
        position=recorded.position,
        event_id=recorded.event_id,
        error=reason,
    )
