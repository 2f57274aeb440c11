"""The port to the log: load a stream, append to one, read on from a position."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.context import Context, IdempotencyKey
from domain.event import Event, Recorded


class StreamKey(Struct, frozen=True):
    """The stored, wrapped key that seals the personal fields of a stream."""

    master_id: str
    wrapped: bytes


class StoredReceipt(Struct, frozen=True, kw_only=True):
    """The answer to the first request with an idempotency key."""

    matches: bool
    status: int
    stream: UUID
    version: int
    position: int


class StreamSnapshot(Struct, frozen=True, kw_only=True):
    """The encoded state of a stream after its events up to a version.

    `format` names the encoding and the fold. `created_at` is when the stream's first event was
    recorded; `recorded_at` and `position` are those of the version's event. `state` is None if the
    stored one does not open.
    """

    stream: UUID
    format: str
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
    With `last_unopened`, only the last event is loaded, as `Sealed` or `Unreadable`: that never
    fails because of a key or of a form that this release cannot read.
    """

    after: int = 0
    version: int | None = None
    at: datetime | None = None
    limit: int | None = None
    snapshot_format: str | None = None
    before: int | None = None
    last_unopened: bool = False


WHOLE: Final = StreamRange()


class LoadedStream(Struct, frozen=True, kw_only=True):
    """The requested events of a stream, its sealing key, and the requested receipt.

    The events begin after the snapshot, if there is one; `size` is that of their stored forms, in
    bytes.
    """

    events: Sequence[Recorded[Event]]
    size: int = 0
    snapshot: StreamSnapshot | None = None
    key: StreamKey | None = None
    receipt: StoredReceipt | None = None


class DraftSnapshot(Struct, frozen=True):
    """The encoded state of a stream at the last version of a draft."""

    format: str
    state: bytes


class Draft(Struct, frozen=True, kw_only=True):
    """All effects of one command: all are recorded, or none.

    `after_version` is the version of the decision (0: a new stream). `take` and `release` are
    claims by scope, with values in the form used for comparison; a release ends the stream's claim
    of its scope, also if the value is None because it cannot be read. If the context has an idempotency
    key, `status` is stored in the receipt; a draft without events records only the receipt. A draft
    with neither stores only its snapshot, of any version that exists. A snapshot without a key to
    seal it is left out.
    """

    kind: str
    stream: UUID
    after_version: int
    events: tuple[Event, ...]
    context: Context
    key: StreamKey | None = None
    take: tuple[tuple[str, str], ...] = ()
    release: tuple[tuple[str, str | None], ...] = ()
    destroy_key: bool = False
    snapshot: DraftSnapshot | None = None
    status: int = 200


class Appended(Struct, frozen=True, kw_only=True):
    """The recorded events; `position` is that of the last one, or the head if there are none."""

    events: tuple[Recorded[Event], ...]
    position: int


class EventLog(Protocol):
    """The log, for commands."""

    async def load(
        self,
        stream: UUID,
        stream_range: StreamRange = WHOLE,
        *,
        actor: str = "",
        idempotency: IdempotencyKey | None = None,
    ) -> LoadedStream:
        """The events of a stream, all or a range; empty if there are none.

        With an idempotency key, also its receipt for that actor, at the same moment.
        Raises `Unavailable`.
        """
        ...

    async def append(self, draft: Draft) -> Appended:
        """Record the draft durably.

        Raises `KeySeen`, `VersionConflict`, `ClaimTaken`, `Overloaded`, `Unavailable` (nothing
        was recorded) or `OutcomeUnknown`.
        """
        ...

    async def holder_of(self, scope: str, value: str) -> UUID | None:
        """The stream that holds a claim, None if none does."""
        ...


class Unreadable(Event, frozen=True):
    """Replaces an event that cannot be read, so that readers can continue after it.

    `type` is the stored name; `reason` is from the event store and contains no value. `fields` has
    what can be read without a key, in schema version `schema`; a sealed field is None.
    """

    topic: ClassVar[str] = "unreadable"

    type: str
    reason: str
    schema: int = 1
    fields: Mapping[str, Any] = {}


def type_of(event: Event) -> str:
    """The stored name of an event, also of one that cannot be read."""
    return event.type if isinstance(event, Unreadable) else event.topic


class FeedPage(Struct, frozen=True, kw_only=True):
    """Events after a position in order; `reached` is the last position read."""

    events: Sequence[Recorded[Event]]
    reached: int


class EventFeed(Protocol):
    """The log, for readers: pages after a position, without gaps."""

    async def read(self, after: int, limit: int) -> FeedPage:
        """Up to `limit` events with a position above `after`; empty at the head.

        Raises `PositionGone` if a restore removed that position, and `Unavailable`.
        """
        ...

    async def head(self) -> int:
        """The highest position in the log; 0 if it is empty."""
        ...

    async def event(self, event_id: UUID) -> Recorded[Event] | None:
        """The event with this id, None if there is none."""
        ...
