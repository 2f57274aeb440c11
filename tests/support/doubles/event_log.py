"""The in-memory log for tests and examples; it passes the same contract suite as the real one."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application.context import IdempotencyKey
from application.errors import ClaimTaken, KeySeen, VersionConflict
from application.log.event_log import (
    WHOLE,
    Appended,
    Draft,
    FeedPage,
    LoadedStream,
    StoredReceipt,
    StreamKey,
    StreamRange,
    StreamSnapshot,
)
from application.log.sealed import Sealed
from application.log.search import EventFilter
from domain.event import ERASED, Event, Recorded
from infrastructure.event_store.serializer import has_personal

_KEY: Final = StreamKey(master_id="memory", wrapped=b"")


class InMemoryEventLog:
    """All ports of the log over one list. It seals nothing, but removes erased data."""

    def __init__(self, new_id: Callable[[], UUID]) -> None:
        self._new_id = new_id
        self._events: list[Recorded[Event]] = []
        self._claims: dict[tuple[str, str], UUID] = {}
        self.receipts: dict[tuple[str, str], tuple[bytes, StoredReceipt]] = {}
        self._keys: dict[UUID, StreamKey] = {}
        self.snapshots: dict[UUID, dict[tuple[str, int], StreamSnapshot]] = {}

    async def load(
        self,
        stream: UUID,
        stream_range: StreamRange = WHOLE,
        *,
        actor: str = "",
        idempotency: IdempotencyKey | None = None,
    ) -> LoadedStream:
        receipt = None
        if idempotency and (stored := self.receipts.get((actor, idempotency.key))):
            request, first = stored
            receipt = StoredReceipt(
                matches=request == idempotency.fingerprint,
                status=first.status,
                stream=first.stream,
                version=first.version,
                position=first.position,
            )
        events = self._stream(stream)
        snapshot = None
        if stream_range.last_unopened:
            events = [_unopened(each) for each in events[-1:]]
        elif stream_range.snapshot_format is not None and events and events[-1].event.is_terminal:
            events = events[-1:]
        else:
            snapshot = _nearest(stream_range, self.snapshots.get(stream, {}).values())
            events = _within(
                stream_range, snapshot.version if snapshot else stream_range.after, events
            )
        key = self._keys.get(stream)
        size = sum(len(msgspec.json.encode(each.event)) for each in events)
        return LoadedStream(events=events, size=size, snapshot=snapshot, key=key, receipt=receipt)

    async def append(self, draft: Draft) -> Appended:
        context = draft.context
        key = context.idempotency
        if key and (context.actor, key.key) in self.receipts:
            raise KeySeen
        stored = self._stream(draft.stream)
        if (draft.events or key) and len(stored) != draft.after_version:
            raise VersionConflict
        for claim in draft.take:
            if self._claims.get(claim, draft.stream) != draft.stream:
                raise ClaimTaken(claim[0])
        for scope, _ in draft.release:
            held = [c for c, by in self._claims.items() if (c[0], by) == (scope, draft.stream)]
            for claim in held:
                del self._claims[claim]
        self._claims.update(dict.fromkeys(draft.take, draft.stream))
        events = tuple(
            Recorded[Event](
                event=event,
                kind=draft.kind,
                stream=draft.stream,
                version=draft.after_version + number,
                position=len(self._events) + number,
                event_id=self._new_id(),
                actor=context.actor,
                on_behalf_of=context.on_behalf_of,
                correlation_id=context.correlation_id,
                causation_id=context.causation_id,
                recorded_at=self._now(number),
            )
            for number, event in enumerate(draft.events, start=1)
        )
        self._events.extend(events)
        if draft.events:
            self._keys.setdefault(draft.stream, _KEY)
            self._keep(draft, [*stored, *events])
        elif not key:
            self._keep(draft, stored[: draft.after_version])
        if draft.destroy_key:
            del self._keys[draft.stream]
            self.snapshots.pop(draft.stream, None)
            self._events = [
                _erased(each) if each.stream == draft.stream else each for each in self._events
            ]
        position = len(self._events)
        if key:
            receipt = StoredReceipt(
                matches=True,
                status=draft.status,
                stream=draft.stream,
                version=draft.after_version + len(events),
                position=position,
            )
            self.receipts[context.actor, key.key] = (key.fingerprint, receipt)
        return Appended(events=events, position=position)

    async def holder_of(self, scope: str, value: str) -> UUID | None:
        return self._claims.get((scope, value))

    async def read(self, after: int, limit: int) -> FeedPage:
        events = self._events[after : after + limit]
        return FeedPage(events=events, reached=events[-1].position if events else after)

    async def search(self, after: int, wanted: EventFilter, limit: int) -> FeedPage:
        found = [each for each in self._events[after:] if wanted.matches(each)][:limit]
        end = found[-1].position if len(found) == limit else max(after, len(self._events))
        return FeedPage(events=found, reached=end)

    async def head(self) -> int:
        return len(self._events)

    async def event(self, event_id: UUID) -> Recorded[Event] | None:
        return next((event for event in self._events if event.event_id == event_id), None)

    def _stream(self, stream: UUID) -> list[Recorded[Event]]:
        return [recorded for recorded in self._events if recorded.stream == stream]

    def _keep(self, draft: Draft, events: list[Recorded[Event]]) -> None:
        if draft.snapshot is None or draft.key is None or draft.stream not in self._keys:
            return
        last = events[-1]
        self.snapshots.setdefault(draft.stream, {})[draft.snapshot.format, last.version] = (
            StreamSnapshot(
                stream=draft.stream,
                format=draft.snapshot.format,
                version=last.version,
                position=last.position,
                created_at=events[0].recorded_at,
                recorded_at=last.recorded_at,
                state=draft.snapshot.state,
            )
        )

    def _now(self, number: int) -> datetime:
        now = datetime.now(UTC)
        last = self._events[-1].recorded_at if self._events else now
        return max(now, last) + timedelta(microseconds=number)


def _erased(recorded: Recorded[Event]) -> Recorded[Event]:
    """The event without its personal data."""
    if not has_personal(recorded.event):
        return recorded
    erased = replace(recorded.event, **dict.fromkeys(recorded.event.personal, ERASED))
    return replace(recorded, event=erased)


def _unopened(recorded: Recorded[Event]) -> Recorded[Event]:
    sealed = Sealed(type=recorded.event.topic, schema=recorded.event.schema_version, fields={})
    return replace(recorded, event=sealed)


def _nearest(
    stream_range: StreamRange, snapshots: Iterable[StreamSnapshot]
) -> StreamSnapshot | None:
    matching = (
        snapshot
        for snapshot in snapshots
        if snapshot.format == stream_range.snapshot_format
        and snapshot.version < (stream_range.before or inf)
        and snapshot.version <= (inf if stream_range.version is None else stream_range.version)
        and (stream_range.at is None or snapshot.recorded_at <= stream_range.at)
    )
    return max(matching, key=lambda snapshot: snapshot.version, default=None)


def _within(
    stream_range: StreamRange, after: int, events: list[Recorded[Event]]
) -> list[Recorded[Event]]:
    found = [
        recorded
        for recorded in events[after:]
        if (stream_range.version is None or recorded.version <= stream_range.version)
        and (stream_range.at is None or recorded.recorded_at <= stream_range.at)
    ]
    return found if stream_range.limit is None else found[: stream_range.limit]
