"""Generations: builds of a projection's views; one serves, the former one is kept up to date."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Generic, Protocol
from uuid import UUID

from msgspec import Struct

from application.errors import Unavailable
from application.projector.view_store import Changes, Skipped, Slot
from projections.projection import Projection, V

# With more parked streams a fold is probably wrong: its author should look at it first.
MAX_PARKED: Final = 1000


class RebuildUnderWay(Exception):
    """Another process is building a generation of this projection."""


class TooManyToDrop(Unavailable):
    """More than 50 former generations wait to be dropped; the build begins after that."""


class NotProjected(Unavailable):
    """No projector brings the new generation to the position of the serving one."""


class BuildLost(Exception):
    """Another process took over or dropped the generation that was built here."""


class OlderRelease(Unavailable):
    """This worker's release is older than the serving generation: a newer one has to build it."""


class BuildProgress(Struct, Generic[V], frozen=True, kw_only=True):
    """The progress of a build: all streams up to `after` are stored, with `events` events in all.

    Only events up to position `up_to` are read. `skipped` was read when the build was opened.
    `followed`: the backfill is complete, and the projectors keep the generation up to date.
    """

    slot: Slot[V]
    up_to: int
    after: UUID | None = None
    events: int = 0
    skipped: Skipped = frozenset()
    followed: bool = False


class Batch(Struct, Generic[V], frozen=True, kw_only=True):
    """Whole streams in order, the last of which is `after`; `events` counts from the beginning."""

    changes: Changes[V]
    after: UUID
    events: int


class Filling(Protocol[V]):
    """A generation during its backfill. Each method raises `BuildLost` and `Unavailable`; after
    another process has taken over, it changes nothing.
    """

    @property
    def progress(self) -> BuildProgress[V]:
        """The recorded progress: after a crash the build resumes there."""
        ...

    async def store(self, batch: Batch[V]) -> None:
        """Store a batch and record the progress: both or, with `Unstorable`, neither."""
        ...


class Build(Filling[V], Protocol[V]):
    """A generation that is built, from its backfill until it serves or is dropped."""

    async def index(self) -> None:
        """Create the indexes that readers and projectors need."""
        ...

    async def follow(self) -> None:
        """Hand the generation over to the projectors."""
        ...

    def switch(self) -> AbstractAsyncContextManager["Switch"]:
        """A switch from the serving generation to this one."""
        ...

    async def drop(self) -> None:
        """Drop the generation, unless it serves; housekeeping completes it if readers block it."""
        ...


class Comparison(Struct, frozen=True, kw_only=True):
    """The serving generation (`before`) and the new one (`after`), compared: the number of views.

    `differing` counts the streams whose views differ; `streams` has the first of them. `moving`
    counts the streams that are not compared: they have events between the two positions, or their
    person was erased after both. `counters` has the first counters that differ; it is None if they
    cannot be compared. `parked` has the first streams that are parked in both generations,
    `newly_parked` those that are parked in the new one only.
    """

    before: int
    after: int
    differing: int
    streams: Sequence[UUID]
    moving: int
    counters: Sequence[str] | None
    parked: Sequence[UUID]
    newly_parked: Sequence[UUID]

    @property
    def matches(self) -> bool:
        """Whether nothing differs."""
        return not (self.differing or self.counters or self.newly_parked)


class Switch(Protocol):
    """The serving generation and the one that will replace it.

    Each method raises `BuildLost` if one of them changed, and `Unavailable`.
    """

    @property
    def replaced(self) -> int:
        """The serving generation."""
        ...

    async def gap(self) -> int:
        """How many positions the new generation is behind; at 0 or less it may serve."""
        ...

    async def compare(self) -> Comparison:
        """Compare both in one snapshot."""
        ...

    async def switch(self, result: Mapping[str, Any] | None, *, with_parked: bool = False) -> None:
        """Switch to the new generation and record the result of the build; readers see no gap.

        The served position never decreases. A stream that is parked in both generations, and
        earlier in the new one, takes its view and its parked events from the other. Unless
        `with_parked`, raises `StreamsParked` if a stream is parked in the new one only, or more
        than `MAX_PARKED` are. Raises `Unavailable` if the new one is behind.
        """
        ...


class StreamsParked(Exception):
    """The new generation could not apply events that it must apply; `streams` are parked in it,
    and perhaps more, if there are more than `MAX_PARKED`.
    """

    def __init__(self, streams: Sequence[UUID]) -> None:
        self.streams = streams
        super().__init__(f"streams parked: {len(streams)}")


class Generations(Protocol):
    """The store of generations. Each method raises `Unavailable`."""

    def build(self, projection: Projection[V], by: str) -> AbstractAsyncContextManager[Build[V]]:
        """Resume the unfinished build of the same code, or begin a new one.

        No other process builds while the context is open. Raises `RebuildUnderWay` if another
        process builds for more than a few seconds, `TooManyToDrop` and `OlderRelease`.
        """
        ...

    def switch(self, slot: Slot[Any]) -> AbstractAsyncContextManager[Switch]:
        """A switch from the serving generation to that of the slot, for a rollback."""
        ...

    async def finished(self, projection: Projection[V], by: str) -> Mapping[str, Any] | None:
        """The result of the build requested by `by`, if it serves."""
        ...
