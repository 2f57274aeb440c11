"""The in-memory view store for tests; it passes the same contract suite as the real one."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec

from application.log.follower import NotLeading
from application.projector.view_store import (
    Changes,
    Entry,
    PageOfViews,
    ParkedEvent,
    Slot,
    Unstorable,
    ViewWriter,
)
from projections.projection import V
from tests.support.views.replay import Snapshot


class StoredSlot:
    """All that is stored for a slot."""

    def __init__(self) -> None:
        self.lead = asyncio.Lock()
        self.position = 0
        self.entries: dict[UUID, Entry[Any]] = {}
        self.counters = Counter[str]()
        self.parked: dict[tuple[UUID, int], ParkedEvent] = {}
        self.skipped: set[tuple[UUID, int]] = set()


class MemoryViewStore:
    """See `ViewStore`; for one event loop."""

    def __init__(self) -> None:
        self._slots = defaultdict[str, StoredSlot](StoredSlot)

    def stored(self, slot: Slot[Any]) -> StoredSlot:
        """The slot itself, not a copy."""
        return self._slots[str(slot)]

    @asynccontextmanager
    async def lead(self, slot: Slot[V]) -> AsyncGenerator[ViewWriter[V]]:
        """See `ViewStore.lead`."""
        stored = self.stored(slot)
        async with stored.lead:
            yield MemoryViewWriter(stored)

    async def stored_views(self, slot: Slot[V]) -> Snapshot[V]:
        """All that is stored of a slot."""
        stored = self.stored(slot)
        parked: dict[UUID, int] = {}
        for stream, version in sorted(stored.parked):
            parked.setdefault(stream, version)
        return Snapshot(
            position=stored.position,
            entries=dict(stored.entries),
            counters={name: n for name, n in stored.counters.items() if n},
            parked=parked,
            skipped=set(stored.skipped),
        )


class MemoryViewWriter:
    """See `ViewWriter`."""

    def __init__(self, stored: StoredSlot) -> None:
        self._stored = stored
        self.position = stored.position

    @asynccontextmanager
    async def page(
        self, reached: int, streams: Collection[UUID]
    ) -> AsyncGenerator[PageOfViews[Any]]:
        """See `ViewWriter.page`."""
        if self._stored.position != self.position:
            raise NotLeading(NotLeading.__doc__)
        page = _Page(self._stored, reached, streams)
        yield page
        self.position = self._stored.position


class _Page:
    def __init__(self, stored: StoredSlot, reached: int, streams: Collection[UUID]) -> None:
        self._stored = stored
        self._reached = reached
        self.entries = {s: stored.entries[s] for s in streams if s in stored.entries}
        self.parked = {stream for stream, _ in stored.parked} & set(streams)
        self.skipped = {event for event in stored.skipped if event[0] in streams}

    async def commit(self, changes: Changes[Any]) -> None:
        """See `PageOfViews.commit`; refuses U+0000, as Postgres does."""
        views = [entry.view for entry in changes.entries.values()]
        if b"\\u0000" in msgspec.json.encode(views):
            raise Unstorable("U+0000 in a view")
        self._stored.entries.update(changes.entries)
        self._stored.counters.update(changes.counters)
        for event in changes.parked:
            self._stored.parked.setdefault((event.stream, event.version), event)
        self._stored.position = self._reached
