"""The in-memory view store for tests; it passes the same contract suite as the real one."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic
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
    partition_of,
)
from application.verification.stored_views import StoredStream
from projections.projection import V


class StoredSlot:
    """All that is stored for a slot."""

    def __init__(self) -> None:
        self.lead = asyncio.Lock()
        self.position = 0
        self.entries: dict[UUID, Entry[Any]] = {}
        self.counters = Counter[str]()
        self.parked: dict[tuple[UUID, int], ParkedEvent] = {}
        self.skipped: set[tuple[UUID, int]] = set()

    def copy(self) -> "StoredSlot":
        """A copy that later pages do not change."""
        copied = StoredSlot()
        copied.position = self.position
        copied.entries, copied.counters = dict(self.entries), Counter(self.counters)
        copied.parked, copied.skipped = dict(self.parked), set(self.skipped)
        return copied


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

    @asynccontextmanager
    async def stored_views(
        self, slots: Sequence[Slot[V]]
    ) -> AsyncGenerator["MemoryStoredViews[V]"]:
        """See `OpenStoredViews`."""
        yield MemoryStoredViews(slots, [self.stored(slot).copy() for slot in slots])


class MemoryStoredViews(Generic[V]):
    """See `StoredViews`."""

    def __init__(self, slots: Sequence[Slot[V]], stored: Sequence[StoredSlot]) -> None:
        self.slots = slots
        self.positions = [each.position for each in stored]
        self._stored = stored

    async def page(self, after: UUID | None, limit: int) -> Sequence[StoredStream[V]]:
        """See `StoredViews.page`."""
        streams = sorted({stream for each in self._stored for stream in _streams(each)})
        later = [stream for stream in streams if after is None or stream > after]
        return [self._stream(stream) for stream in later[:limit]]

    async def counters(self) -> Sequence[Mapping[str, int]]:
        """See `StoredViews.counters`."""
        return [{name: n for name, n in each.counters.items() if n} for each in self._stored]

    def _stream(self, stream: UUID) -> StoredStream[V]:
        stored = self._stored[partition_of(stream, len(self.slots))]
        return StoredStream(
            stream=stream,
            entry=stored.entries.get(stream),
            parked=min(
                (version for each, version in stored.parked if each == stream), default=None
            ),
            skipped={version for each, version in stored.skipped if each == stream},
        )


def _streams(stored: StoredSlot) -> set[UUID]:
    return stored.entries.keys() | {each for each, _ in (*stored.parked, *stored.skipped)}


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
