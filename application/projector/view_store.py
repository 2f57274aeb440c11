"""The port to the views: the leading process writes them page by page, with the checkpoint."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from msgspec import Struct

from projections.projection import Projection, V

V_co = TypeVar("V_co", bound=Struct, covariant=True)

PARTITION: Final = 0
"""The partition in stored rows and cache keys: each generation has one."""

Skipped = AbstractSet[tuple[UUID, int]]
"""Events that are skipped permanently, by stream and version."""


class Unstorable(Exception):
    """The store refused a view; nothing of its page was stored. `reason` contains no value."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Slot(Struct, Generic[V], frozen=True):
    """One generation of a projection, with its checkpoint.

    `lacks` names the columns of the projection that this generation was built without: they are
    read as their defaults, and not written.
    """

    projection: Projection[V]
    generation: int = 1
    lacks: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.projection.name}/{self.generation}/{PARTITION}"


class ProjectionProgress(Struct, frozen=True):
    """The serving generation and its position, at one moment."""

    generation: int
    position: int


class ProgressSource(Protocol):
    """The progress of the projections."""

    async def progress(self, projection: str) -> ProjectionProgress:
        """The current progress of a projection. Raises `Unavailable`."""
        ...


class Entry(Struct, Generic[V_co], frozen=True):
    """The view of a stream after `version` events; `chain` is a digest over the ids of all of them.

    `view` may be None; version and chain then still say which events were folded.
    """

    view: V_co | None
    version: int
    chain: bytes


class ParkedEvent(Struct, frozen=True, kw_only=True):
    """An event that could not be folded, and the reason; `error` contains no value.

    `unreadable`: the reason may end without a change of the fold, so a retry comes automatically.
    """

    stream: UUID
    version: int
    position: int
    event_id: UUID
    error: str
    unreadable: bool = False


class Changes(Struct, Generic[V], frozen=True, kw_only=True):
    """The changes by a page of events: all are stored, or none."""

    entries: Mapping[UUID, Entry[V]] = {}
    counters: Mapping[str, int] = {}
    parked: Sequence[ParkedEvent] = ()


class PageOfViews(Protocol[V]):
    """The views of the streams of a page, locked until the changes are stored."""

    @property
    def entries(self) -> Mapping[UUID, Entry[V]]:
        """The entries before the page; a new stream has none."""
        ...

    @property
    def parked(self) -> AbstractSet[UUID]:
        """The streams of the page that are parked."""
        ...

    @property
    def skipped(self) -> Skipped:
        """The events of the streams that are skipped permanently."""
        ...

    async def commit(self, changes: Changes[V]) -> None:
        """Store the changes and move the checkpoint.

        Raises `Unstorable`, and `Unavailable`: the changes may be stored or not.
        """
        ...


class ViewWriter(Protocol[V]):
    """The exclusive right to write the views of one slot."""

    @property
    def position(self) -> int:
        """The checkpoint that this writer stored. Raises `NotLeading` once the lead is lost."""
        ...

    def page(
        self, reached: int, streams: Collection[UUID]
    ) -> AbstractAsyncContextManager[PageOfViews[V]]:
        """A page that moves the checkpoint to `reached`; without `commit` nothing changes.

        Raises `NotLeading` if another process moved the checkpoint, and `Unavailable`.
        """
        ...


class ViewStore(Protocol):
    """The store of views and their checkpoints."""

    def lead(self, slot: Slot[V]) -> AbstractAsyncContextManager[ViewWriter[V]]:
        """Wait until no other process leads; lead until the context ends. Raises `Unavailable`."""
        ...
