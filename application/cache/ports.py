"""The port to the cache: documents, and the position of each slot.

One rule always holds, also after lost, late or repeated writes: each document of a slot shows its
view at the slot's position or later. So that position says how current an answer of the cache is.
A store keeps the rule in two ways: it takes a document only if that was read at the slot's position
or later; and if it loses the position of a slot, it also loses all documents of the slot.
"""

from collections.abc import Collection, Mapping
from typing import Any, Generic, Protocol
from uuid import UUID

from msgspec import Struct, field

from application.projector.view_store import Entry, Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import UserDocument
from projections.projection import V


class PageMiss(Struct, frozen=True):
    """A page that is not cached; `mark` identifies the state of the slot at the look-up."""

    slot: Slot[Any]
    query: UserList
    mark: bytes


class PageCache(Protocol):
    """For readers. It raises nothing: a cache that does not answer has no pages.

    All pages of a slot are dropped when its position moves, when it is reset, and when a document
    is replaced without a move. So a cached page was read at the slot's current position or later.
    """

    async def look_up(self, slot: Slot[Any], query: UserList) -> Answer[bytes] | PageMiss | None:
        """The page, or a miss to offer it with; None if no page can be cached now."""
        ...

    def offer(self, vacancy: PageMiss, page: Answer[bytes]) -> None:
        """Cache a page that was read after the miss; returns at once.

        The cache takes it if the slot did not change since then, and the page is not behind it.
        """
        ...


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


class CacheUnavailable(Exception):
    """The cache does not answer."""


class Removed(Struct, frozen=True):
    """Marks a user whose view was removed at this version."""

    version: int


class Step(Struct, frozen=True, kw_only=True):
    """Moves a slot: all users that changed after position `after` and up to `reached`.

    Their views were read at `read_at`, which is not before `reached`.
    """

    after: int
    reached: int
    read_at: int
    users: Mapping[UUID, UserDocument | Removed]


class UserCache(Protocol):
    """For readers. It raises nothing: a cache that does not answer has no documents."""

    async def look_up(self, slot: Slot[Any], user_id: UUID) -> Answer[UserDocument | None] | None:
        """The cached user with the slot's position; None if it is not cached."""
        ...

    def offer(self, slot: Slot[Any], user_id: UUID, document: UserDocument, position: int) -> None:
        """Cache a document that was read at a position, if the rule allows it; returns at once."""
        ...


class FollowingCache(Protocol):
    """For followers; any number may follow one slot. Each method raises `CacheUnavailable`."""

    async def position(self, slot: Slot[Any]) -> int | None:
        """The slot's position; None if it has none, or lost it."""
        ...

    async def begin(self, slot: Slot[Any], position: int) -> None:
        """Set the position of a slot that has none; it then has no documents."""
        ...

    async def advance(self, slot: Slot[Any], step: Step) -> None:
        """Store the documents and move the position: both, or neither if the step does not fit.

        A step fits if the position is between `after` and `read_at`. A document never replaces a
        newer one, but may replace one of the same version, since a repair changes a view without
        an event. The position never decreases. A move, or a step from 0 to 0, drops all pages.
        """
        ...


class ErasingCache(Protocol):
    """For erasures. Each method raises `CacheUnavailable`."""

    async def position(self, slot: Slot[Any]) -> int | None:
        """See `FollowingCache.position`."""
        ...

    async def reset(self, slot: Slot[Any], position: int) -> None:
        """Drop all documents and pages of a slot, and set its position to this one."""
        ...

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        """Remove the user's documents from these slots, and all pages, which may show the user.

        Also removes them from key spaces of earlier logs and formats.
        """
        ...


class RecentlyRead(Protocol):
    """The recently read users: all that are in the cache."""

    async def users(self, slot: Slot[Any], limit: int) -> Collection[UUID]:
        """Up to `limit` users whose documents a slot has. Raises `CacheUnavailable`."""
        ...


class RefreshQueue(Protocol):
    """Streams whose views were repaired or retried. Each method raises `Unavailable`."""

    async def pending(self, projection: str) -> Mapping[int, tuple[Slot[Any], UUID]]:
        """Some streams whose cached copies are not refreshed yet, by number."""
        ...

    async def mark_refreshed(self, numbers: Collection[int]) -> None:
        """Remove streams from the queue: their copies are refreshed."""
        ...


class StatsCache(Protocol):
    """The statistics of each day: one document with its own position."""

    async def look_up(self, slot: Slot[Any], day: str) -> Answer[bytes] | None:
        """The newest cached document; None if there is none, or the cache does not answer."""
        ...

    def offer(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        """Cache a document unless a newer one is cached; returns at once."""
        ...

    async def replace(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        """Cache a document, also over one of the same position. Raises `CacheUnavailable`."""
        ...


class ReadersCache(Protocol):
    """The cache for readers."""

    @property
    def users(self) -> UserCache: ...

    @property
    def stats(self) -> StatsCache: ...

    @property
    def pages(self) -> PageCache: ...

    @property
    def counts(self) -> CacheCounts:
        """The counts of this process: `CachedDocuments` counts hits and `behind`, the cache the rest."""
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
    """Some entries of a slot, and its position at the same moment."""

    position: int
    entries: Mapping[UUID, Entry[V]]


class ViewEntries(Protocol):
    """The views, for cache followers."""

    async def entries(self, slot: Slot[V], streams: Collection[UUID]) -> EntriesAt[V]:
        """The entries of those streams that have one. Raises `Unavailable`."""
        ...
