"""The port to the log: load a stream, append to one, read on from a position."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.context import Context, IdempotencyKey
from domain.event import Event, Recorded


class StreamKey(Struct, frozen=True):
    """The handle of the key that seals a stream's personal fields, as it lies in the store."""

    master_id: str
    wrapped: bytes


class StoredReceipt(Struct, frozen=True, kw_only=True):
    """What the first request with an idempotency key was answered."""

    matches: bool
    status: int
    stream: UUID
    version: int
    position: int


class StreamSnapshot(Struct, frozen=True, kw_only=True):
    """What a stream's events up to a version came to, as whoever folds them encoded it.

    `form` names that encoding and that fold. `created_at` is when the stream's first event was
    recorded, `recorded_at` and `position` are those of the version's event. `state` is None where
    the stored one does not open.
    """

    stream: UUID
    form: str
    version: int
    position: int
    created_at: datetime
    recorded_at: datetime
    state: bytes | None


class StreamRange(Struct, frozen=True, kw_only=True):
    """Which events of a stream to load: versions above `after`, up to a version and a time.

    `limit` bounds their number. `snapshot_format` allows two shortcuts: the newest snapshot of
    that format (below version `before` if given) may replace the events up to it, and the event
    that ended the stream (`Event.is_terminal`) may replace all others.
    """

    after: int = 0
    version: int | None = None
    at: datetime | None = None
    limit: int | None = None
    snapshot_format: str | None = None
    before: int | None = None


WHOLE: Final = StreamRange()


class LoadedStream(Struct, frozen=True, kw_only=True):
    """A stream's events (those asked for), its sealing key, and the receipt asked about.

    The events follow on the snapshot, where there is one.
    """

    events: Sequence[Recorded[Event]]
    snapshot: StreamSnapshot | None = None
    key: StreamKey | None = None
    receipt: StoredReceipt | None = None


class Draft(Struct, frozen=True, kw_only=True):
    """One command's whole effect: all of it is recorded, or none.

    `after_version` is the version the decision was made on (0: a new stream). `take` and
    `release` are claims by scope, values in compared form. `status` is kept in the receipt where
    the context has an idempotency key; a draft without events then records the receipt alone.
    """

    kind: str
    stream: UUID
    after_version: int
    events: tuple[Event, ...]
    context: Context
    key: StreamKey | None = None
    take: tuple[tuple[str, str], ...] = ()
    release: tuple[tuple[str, str], ...] = ()
    destroy_key: bool = False
    status: int = 200


class Appended(Struct, frozen=True, kw_only=True):
    """What was recorded; `position` is the last event's, or the log's head where there was none."""

    events: tuple[Recorded[Event], ...]
    position: int


class EventLog(Protocol):
    """The write side's way to the log."""

    async def load(
        self,
        stream: UUID,
        span: StreamRange = WHOLE,
        *,
        actor: str = "",
        idempotency: IdempotencyKey | None = None,
    ) -> LoadedStream:
        """The stream from its first event, or that span of it; empty where there is none.

        With an idempotency key, also its receipt for that actor, of the same moment.
        Raises `Unavailable`.
        """
        ...

    async def append(self, draft: Draft) -> Appended:
        """Record the draft durably.

        Raises `KeySeen`, `VersionConflict`, `ClaimTaken`, `Overloaded`, `Unavailable` (surely
        nothing was recorded) or `OutcomeUnknown`.
        """
        ...

    async def holder_of(self, scope: str, value: str) -> UUID | None:
        """The stream that holds a claim now."""
        ...


class Unreadable(Event, frozen=True):
    """Stands in a feed for an event that cannot be read, so that what follows it can be.

    `type` is the stored name, `reason` what the event store says, without a value of the event.
    """

    topic: ClassVar[str] = "unreadable"

    type: str
    reason: str


class FeedPage(Struct, frozen=True, kw_only=True):
    """Events after a position in order; `reached` is the last position looked at."""

    events: Sequence[Recorded[Event]]
    reached: int


class EventFeed(Protocol):
    """The readers' way to the log: pages after a position, never a gap."""

    async def read(self, after: int, limit: int) -> FeedPage:
        """Up to `limit` events with a position above `after`; empty at the head.

        Raises `PositionGone` where a restore cut the log at that position, and `Unavailable`.
        """
        ...

    async def head(self) -> int:
        """The highest position in the log, 0 where it is empty."""
        ...

    async def event(self, event_id: UUID) -> Recorded[Event] | None:
        """The event with this id."""
        ...


class Snapshots(Protocol):
    """Keeps what it is offered as soon as it can, or drops it: nothing depends on it."""

    def offer(self, snapshots: Sequence[StreamSnapshot], key: StreamKey) -> None:
        """Have these of one stream kept, sealed with its key; never waits and never fails."""
        ...
