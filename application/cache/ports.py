"""The port to the cache: documents and pages, and the mark of each slot.

One rule always holds, also after lost, late or repeated writes: each document of a slot shows its
view at the slot's position or later. So that position says how current an answer of the cache is.
A store keeps the rule by the slot's mark. Each write names the mark that its writer saw before it
read the view. The store takes it only in the same incarnation, and only if the view was read at the
slot's position or later. A slot that loses its mark, or starts over, loses all that it has.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

from msgspec import Struct, field

from application.projector.view_store import Entry, Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import UserDocument
from projections.projection import V

MAX_TTL: Final = 7 * 24 * 3600
"""The longest life of a cached copy, in seconds."""

K = TypeVar("K")
T = TypeVar("T")


class CacheUnavailable(Exception):
    """The cache does not answer."""


class Mark(Struct, frozen=True):
    """The state of a slot. The incarnation is new and random whenever the slot starts over.

    `repairs` is the view's number of repairs when the incarnation began: if the view has another
    number now, its rows changed without an event, and the slot has to start over.
    """

    incarnation: bytes
    position: int
    repairs: int


class Miss(Struct, Generic[K], frozen=True):
    """What is not cached, and the mark of its slot at the look-up."""

    slot: Slot[Any]
    key: K
    mark: Mark


class DocumentCounts(Struct):
    """Look-ups of one kind of document by result, and offers.

    The cache answered `hits`; the views answered the others. `misses` were not cached, `behind`
    were older than required; for `away` the cache did not answer or had no position. `kept` and
    `refused` count documents offered after a miss.
    """

    hits: int = 0
    misses: int = 0
    behind: int = 0
    away: int = 0
    kept: int = 0
    refused: int = 0


class CacheCounts(Struct, frozen=True):
    """Counts by kind of document."""

    users: DocumentCounts = field(default_factory=DocumentCounts)
    stats: DocumentCounts = field(default_factory=DocumentCounts)
    pages: DocumentCounts = field(default_factory=DocumentCounts)


class CachedAnswers(Protocol[K, T]):
    """One kind of document for readers; raises nothing: a cache that does not answer has none.

    A document has the slot's position. A page has the position at which it was read, and counts
    only as long as the mark of its slot is the same.
    """

    @property
    def counts(self) -> DocumentCounts:
        """`CachedDocuments` counts hits and `behind`, the cache the rest."""
        ...

    async def look_up(self, slot: Slot[Any], key: K) -> Answer[T] | Miss[K] | None:
        """The cached answer, or a miss to offer it with; None if nothing can be cached now."""
        ...

    def offer(self, miss: Miss[K], answer: Answer[T]) -> None:
        """Cache an answer that was read after the miss, if the rule allows it; returns at once."""
        ...


class ReadersCache(Protocol):
    """The cache for readers: users, lists of users, and the statistics of a day (YYYY-MM-DD)."""

    @property
    def users(self) -> CachedAnswers[UUID, UserDocument | None]: ...

    @property
    def pages(self) -> CachedAnswers[UserList, bytes]: ...

    @property
    def stats(self) -> CachedAnswers[str, bytes]: ...


class Removed(Struct, frozen=True):
    """Marks a user whose view was removed at this version."""

    version: int


class Step(Struct, frozen=True, kw_only=True):
    """Moves a slot from its mark to `reached`, with all users that changed in between.

    Their views were read at `read_at`, which is not before `reached`.
    """

    reached: int
    read_at: int
    users: Mapping[UUID, UserDocument | Removed]


class FollowingCache(Protocol):
    """For followers; any number may follow one slot. Each method raises `CacheUnavailable`."""

    async def mark(self, slot: Slot[Any]) -> Mark | None:
        """The slot's mark; None if it has none, or lost it."""
        ...

    async def begin(self, slot: Slot[Any], seen: Mark | None, position: int, repairs: int) -> None:
        """Start a slot over, empty, unless its incarnation is another one than the seen one."""
        ...

    async def advance(self, slot: Slot[Any], seen: Mark, step: Step) -> None:
        """Store the documents and move the position: both, or neither if the step does not fit.

        A step fits the incarnation that was seen, at the seen position or later. A document never
        replaces a newer one, and one that was read before the position is not stored. The position
        never decreases. A move drops all pages.
        """
        ...


class ErasingCache(Protocol):
    """For erasures. Each method raises `CacheUnavailable`."""

    async def mark(self, slot: Slot[Any]) -> Mark | None: ...

    async def end(self, slot: Slot[Any]) -> None:
        """Remove the slot's mark, and with it all that the slot has."""
        ...

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        """Remove the user's documents from these slots, and all pages, which may show the user.

        Also removes them from key spaces of earlier logs and formats.
        """
        ...


class ChangedStreams(Struct, frozen=True):
    """Streams with events after a position, by kind; `reached` is the last position read."""

    streams: Collection[tuple[str, UUID]]
    reached: int


class ChangeFeed(Protocol):
    """The log as a list of changed streams."""

    async def changed(self, after: int, limit: int) -> ChangedStreams:
        """The streams of up to `limit` events after a position. Raises `Unavailable`."""
        ...


class EntriesAt(Struct, Generic[V], frozen=True):
    """Some entries of a slot, and its position and number of repairs at the same moment."""

    position: int
    repairs: int
    entries: Mapping[UUID, Entry[V]]


class ViewEntries(Protocol):
    """The views, for cache followers."""

    async def entries(self, slot: Slot[V], streams: Collection[UUID]) -> EntriesAt[V]:
        """The entries of those streams that have one. Raises `Unavailable`."""
        ...
