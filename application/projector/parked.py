"""The ports to parked streams and skipped events."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from application.projector.view_store import Changes, Entry, ParkedEvent, Skipped, Slot
from projections.projection import V


class NothingParked(Exception):
    """No event of this stream is parked."""


class AnotherEventFirst(Exception):
    """Another event of the stream is the first that is parked; `version` is its."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(f"{self.__doc__} ({version})")


class NotSkipped(Exception):
    """This event was never skipped."""


class RetryResult(Struct, frozen=True, kw_only=True):
    """How many events were folded, and the first event that is still parked."""

    applied: int
    parked: ParkedEvent | None


class Decision(Struct, frozen=True, kw_only=True):
    """The decision to skip an event permanently: the actor and the reason."""

    event: ParkedEvent
    reason: str
    actor: str


class LockedStream(Protocol[V]):
    """The view of one stream, locked together with the checkpoint of its slot."""

    @property
    def position(self) -> int:
        """The checkpoint."""
        ...

    @property
    def entry(self) -> Entry[V] | None:
        """The stored view."""
        ...

    @property
    def first(self) -> ParkedEvent | None:
        """The first parked event; None if the stream is not parked."""
        ...

    @property
    def last_version(self) -> int:
        """The version of the stream's last event up to the checkpoint, folded or parked."""
        ...

    @property
    def skipped(self) -> Skipped:
        """The events that are skipped permanently."""
        ...

    async def commit(self, changes: Changes[V]) -> None:
        """Store the entry; the stream is parked at the first of `changes.parked`, if any.

        An entry at version 0 is removed.
        Raises `Unstorable` and `Unavailable`.
        """
        ...

    async def skip(self, decision: Decision) -> None:
        """Record that an event is skipped in all generations. Raises `Unavailable`."""
        ...


class ParkedStreams(Protocol):
    """The store of parked streams."""

    async def slots(self, projection: str) -> Sequence[Slot[Any]]:
        """The slots that projectors follow, the serving generation first. Raises `Unavailable`."""
        ...

    async def streams(self, slot: Slot[Any], after: UUID | None, limit: int) -> Sequence[UUID]:
        """Up to `limit` parked streams of a slot after a stream, in order. Raises `Unavailable`."""
        ...

    def lock(self, slot: Slot[V], stream: UUID) -> AbstractAsyncContextManager[LockedStream[V]]:
        """Lock a stream; without `commit` or `skip` nothing changes. Raises `Unavailable`."""
        ...


class UnreadableStreams(Protocol):
    """The parked streams whose first event could not be read. Each method raises `Unavailable`."""

    async def unreadable(self, slot: Slot[Any], limit: int, *, at_once: bool) -> Sequence[UUID]:
        """Those whose pause before the next retry is over; with `at_once`, whether or not it is."""
        ...

    async def postpone(self, slot: Slot[Any], stream: UUID) -> None:
        """Begin a longer pause before the next retry of a stream."""
        ...


class RemovedSkips(Protocol):
    """Skips that were taken back. Each method raises `Unavailable`."""

    async def remove(self, projection: str, stream: UUID, version: int, actor: str) -> bool:
        """Take a skip back; a repeat changes nothing. False if the event was never skipped."""
        ...

    async def removed(self, slot: Slot[Any]) -> Sequence[UUID]:
        """The streams with skips that were taken back since the slot's generation began."""
        ...
