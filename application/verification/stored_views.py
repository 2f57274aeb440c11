"""The port to all stored views of a generation at one moment, for the comparison with the log."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol
from uuid import UUID

from msgspec import Struct

from application.projector.view_store import Entry, Slot
from projections.projection import Projection, V


class StoredStream(Struct, Generic[V], frozen=True, kw_only=True):
    """What is stored of one stream; `entry` is None if there is no row.

    `parked` is the first parked version; `skipped` has the versions that are skipped permanently.
    `columns_match`: the search and sort columns are those of the view.
    """

    stream: UUID
    entry: Entry[V] | None = None
    parked: int | None = None
    skipped: AbstractSet[int] = frozenset()
    columns_match: bool = True


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
        """The streams after one, in order; at most `limit` of each source. Empty only at the end."""
        ...

    async def counters(self) -> Sequence[Mapping[str, int]]:
        """The counters of each slot, without zeros."""
        ...


OpenStoredViews = Callable[[Sequence[Slot[Any]]], AbstractAsyncContextManager[StoredViews[Any]]]
"""Takes the slots of one generation. Raises `Unavailable`, also if it was dropped."""


class FilledGenerations(Protocol):
    """The generations to compare."""

    async def filled(self, projection: Projection[V]) -> Sequence[Sequence[Slot[V]]]:
        """The slots of each backfilled generation, oldest first, also while it is paused.

        Raises `Unavailable`.
        """
        ...
