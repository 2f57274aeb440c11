"""All that a generation keeps, as it was at one moment: for whoever compares it with the log."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol
from uuid import UUID

from msgspec import Struct

from application.projector.view_store import Entry, Slot
from projections.projection import Projection, V


class StoredStream(Struct, Generic[V], frozen=True, kw_only=True):
    """What is kept of one stream; where there is no row of it, there is no entry.

    `parked` is its first parked version, `skipped` has those that are left out for good. `fits`:
    what lies beside the entry to find and sort it by is what the view makes of it.
    """

    stream: UUID
    entry: Entry[V] | None = None
    parked: int | None = None
    skipped: AbstractSet[int] = frozenset()
    fits: bool = True


class StoredViews(Protocol[V]):
    """All of one generation at one moment. Each method raises `Unavailable`."""

    @property
    def slots(self) -> Sequence[Slot[V]]:
        """Its slots, by partition."""
        ...

    @property
    def positions(self) -> Sequence[int]:
        """Their checkpoints."""
        ...

    async def page(self, after: UUID | None, limit: int) -> Sequence[StoredStream[V]]:
        """The streams after one, in order, `limit` of each source at most; none at the end only."""
        ...

    async def counters(self) -> Sequence[Mapping[str, int]]:
        """The counters of each slot that are not 0."""
        ...


OpenKeptViews = Callable[[Sequence[Slot[Any]]], AbstractAsyncContextManager[StoredViews[Any]]]
"""Takes the slots of one generation. Raises `Unavailable`, also where it was dropped."""


class FilledGenerations(Protocol):
    """Which generations there are to compare."""

    async def filled(self, projection: Projection[V]) -> Sequence[Sequence[Slot[V]]]:
        """The slots of each generation that is filled, the oldest first, also while it is paused.

        Raises `Unavailable`.
        """
        ...
