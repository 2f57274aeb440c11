"""The port to the views: who leads writes them page by page, with their checkpoint."""

import zlib
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from projections.projection import Projection, V

V_co = TypeVar("V_co", bound=Struct, covariant=True)

Skipped = AbstractSet[tuple[UUID, int]]
"""Events that somebody decided to leave out for good, by stream and version."""


class Unstorable(Exception):
    """The store takes no such view; nothing of its page was stored. `reason` names no value."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Slot(Struct, Generic[V], frozen=True):
    """What has a checkpoint of its own: one partition of one build of a projection's views."""

    projection: Projection[V]
    generation: int = 1
    partition: int = 0

    def holds(self, stream: UUID) -> bool:
        """Whether the stream's view belongs here."""
        return partition_of(stream, self.projection.partitions) == self.partition

    def __str__(self) -> str:
        return f"{self.projection.name}/{self.generation}/{self.partition}"


def slots_of(projection: Projection[V], generation: int, partitions: int) -> list[Slot[V]]:
    """All slots of a generation, which keeps the number of partitions that it was made with."""
    if partitions != projection.partitions:
        projection = replace(projection, partitions=partitions)
    return [Slot(projection, generation, partition) for partition in range(partitions)]


def partition_of(stream: UUID, partitions: int) -> int:
    """The same for ever, in every process: rows are found by it."""
    return zlib.crc32(stream.bytes) % partitions


class ProjectionProgress(Struct, frozen=True):
    """The generation that serves and the position of each of its partitions, at one moment."""

    generation: int
    positions: Mapping[int, int]

    @property
    def position(self) -> int:
        """What every stream's view has reached."""
        return min(self.positions.values())

    def position_of(self, stream: UUID) -> int:
        """What one stream's view has reached."""
        return self.positions[partition_of(stream, len(self.positions))]


class Standings(Protocol):
    """How far the projections are."""

    async def standing(self, projection: str) -> ProjectionProgress:
        """A projection's standing, now. Raises `Unavailable`."""
        ...


class Entry(Struct, Generic[V_co], frozen=True):
    """A stream's view after `version` events; `chain` is a digest over the ids of all of them.

    Without a view it still says what was seen.
    """

    view: V_co | None
    version: int
    chain: bytes


class ParkedEvent(Struct, frozen=True, kw_only=True):
    """An event that is left out of the views, and why; `error` names no value."""

    stream: UUID
    version: int
    position: int
    event_id: UUID
    error: str


class Changes(Struct, Generic[V], frozen=True, kw_only=True):
    """What a page makes of the views: all of it is stored, or none."""

    entries: Mapping[UUID, Entry[V]] = {}
    counters: Mapping[str, int] = {}
    parked: Sequence[ParkedEvent] = ()


class PageOfViews(Protocol[V]):
    """The views of a page's streams, held still until they are replaced."""

    @property
    def entries(self) -> Mapping[UUID, Entry[V]]:
        """As they are before the page; a stream that was never seen is absent."""
        ...

    @property
    def parked(self) -> AbstractSet[UUID]:
        """Which of the streams are parked."""
        ...

    @property
    def skipped(self) -> Skipped:
        """Which events of the streams are left out for good."""
        ...

    async def commit(self, changes: Changes[V]) -> None:
        """Store the changes and move the checkpoint.

        Raises `Unstorable` and `Unavailable`; after the latter it may have been stored.
        """
        ...


class ViewWriter(Protocol[V]):
    """The right to write one slot's views."""

    @property
    def position(self) -> int:
        """The checkpoint as this writer left it. Raises `NotLeading` once the lead is lost."""
        ...

    def page(
        self, reached: int, streams: Collection[UUID]
    ) -> AbstractAsyncContextManager[PageOfViews[V]]:
        """A page that moves the checkpoint to `reached`; without `commit` nothing happens.

        Raises `NotLeading` where the checkpoint was moved by anybody else, and `Unavailable`.
        """
        ...


class ViewStore(Protocol):
    """Where views and their checkpoints are kept."""

    def lead(self, slot: Slot[V]) -> AbstractAsyncContextManager[ViewWriter[V]]:
        """Wait until nobody else leads, and lead until the context ends. Raises `Unavailable`."""
        ...
