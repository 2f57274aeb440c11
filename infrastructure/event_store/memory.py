"""The log in memory: the double that tests and examples use, held to the same contract."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from application.context import IdempotencyKey
from application.errors import ClaimTaken, KeySeen, VersionConflict
from application.event_log import Appended, Draft, FeedPage, LoadedStream, StoredReceipt
from domain.event import Event, Recorded


class InMemoryEventLog:
    """Both ports to the log, write side and feed, over one list."""

    def __init__(self, new_id: Callable[[], UUID]) -> None:
        self._new_id = new_id
        self._events: list[Recorded[Event]] = []
        self._claims: dict[tuple[str, str], UUID] = {}
        self._receipts: dict[tuple[str, str], tuple[bytes, StoredReceipt]] = {}

    async def load(
        self, stream: UUID, *, actor: str = "", idempotency: IdempotencyKey | None = None
    ) -> LoadedStream:
        receipt = None
        if idempotency and (kept := self._receipts.get((actor, idempotency.key))):
            request, first = kept
            receipt = StoredReceipt(
                matches=request == idempotency.fingerprint,
                status=first.status,
                stream=first.stream,
                version=first.version,
                position=first.position,
            )
        return LoadedStream(events=self._stream(stream), receipt=receipt)

    async def append(self, draft: Draft) -> Appended:
        context = draft.context
        key = context.idempotency
        if key and (context.actor, key.key) in self._receipts:
            raise KeySeen
        if len(self._stream(draft.stream)) != draft.after_version:
            raise VersionConflict
        for claim in draft.take:
            if self._claims.get(claim, draft.stream) != draft.stream:
                raise ClaimTaken(claim[0])
        for claim in draft.release:
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
        position = len(self._events)
        if key:
            receipt = StoredReceipt(
                matches=True,
                status=draft.status,
                stream=draft.stream,
                version=draft.after_version + len(events),
                position=position,
            )
            self._receipts[context.actor, key.key] = (key.fingerprint, receipt)
        return Appended(events=events, position=position)

    async def holder_of(self, scope: str, value: str) -> UUID | None:
        return self._claims.get((scope, value))

    async def read(self, after: int, limit: int) -> FeedPage:
        events = self._events[after : after + limit]
        return FeedPage(events=events, reached=events[-1].position if events else after)

    async def head(self) -> int:
        return len(self._events)

    async def event(self, event_id: UUID) -> Recorded[Event] | None:
        return next((event for event in self._events if event.event_id == event_id), None)

    def _stream(self, stream: UUID) -> list[Recorded[Event]]:
        return [recorded for recorded in self._events if recorded.stream == stream]

    def _now(self, number: int) -> datetime:
        now = datetime.now(UTC)
        last = self._events[-1].recorded_at if self._events else now
        return max(now, last) + timedelta(microseconds=number)
