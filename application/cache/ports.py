"""The port to the cache: documents beside the position of their view that they show.

One rule holds, whatever is lost, late or done twice: each document of a slot shows its view as it
was at the slot's position or later. So an answer from the cache is judged by that position, as one
from the view is. A store keeps the rule by two means. It takes a document only if that was read at
the slot's position or later. And where it has lost the position, it has lost all documents.
"""

from collections.abc import Collection, Mapping
from typing import Any, Generic, Protocol
from uuid import UUID

from msgspec import Struct, field

from application.projector.view_store import Entry, Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import UserDocument
from projections.projection import V


class Vacancy(Struct, frozen=True):
    """The place for a page that is not kept, as it was found: `mark` says where the slot stood."""

    slot: Slot[Any]
    query: UserList
    mark: bytes


class PageCache(Protocol):
    """For readers. It raises nothing: a cache that is away knows nothing.

    A slot that moves on or begins again has no pages any more, nor has one in which a document was
    replaced on the spot. So a page that is found was read at the slot's position or later, and
    nobody has passed that position since.
    """

    async def look_up(self, slot: Slot[Any], query: UserList) -> Answer[bytes] | Vacancy | None:
        """The page, or the place for it; None where no page can be kept now."""
        ...

    def offer(self, vacancy: Vacancy, page: Answer[bytes]) -> None:
        """Have a page kept that was read after its vacancy was found; returns at once.

        It is taken if the slot is as it was then, and stands nowhere behind the page.
        """
        ...


class DocumentCounts(Struct):
    """Look-ups of one kind of document by what came of them, and offers.

    `hits` were answered by the cache. The views were asked for the others: `misses` were not kept,
    `behind` were kept but older than asked for, `away` were put to a cache that did not answer or
    had no position. `kept` and `refused` are documents offered after a miss.
    """

    hits: int = 0
    misses: int = 0
    behind: int = 0
    away: int = 0
    kept: int = 0
    refused: int = 0


class CacheCounts(Struct, frozen=True):
    """By kind of document."""

    users: DocumentCounts = field(default_factory=DocumentCounts)
    stats: DocumentCounts = field(default_factory=DocumentCounts)
    pages: DocumentCounts = field(default_factory=DocumentCounts)


class CacheAway(Exception):
    """The cache does not answer."""


class Removed(Struct, frozen=True):
    """Stands for a user whose view was removed with this version."""

    version: int


class Step(Struct, frozen=True, kw_only=True):
    """What moves a slot on: the users who changed after one position and up to another.

    All of them, and as their views were at `read_at`, which is not before `reached`.
    """

    after: int
    reached: int
    read_at: int
    users: Mapping[UUID, UserDocument | Removed]


class UserCache(Protocol):
    """The readers' side. It raises nothing: a cache that is away knows nothing."""

    async def look_up(self, slot: Slot[Any], user_id: UUID) -> Answer[UserDocument | None] | None:
        """What is known of a user, with the slot's position; None where nothing is known."""
        ...

    def offer(self, slot: Slot[Any], user_id: UUID, document: UserDocument, position: int) -> None:
        """Have a document kept that was read at a position, if it can be taken; returns at once."""
        ...


class FollowingCache(Protocol):
    """The followers' side. Any number may follow one slot; each method raises `CacheAway`."""

    async def position(self, slot: Slot[Any]) -> int | None:
        """The slot's position; None where there is none, or none any more."""
        ...

    async def begin(self, slot: Slot[Any], position: int) -> None:
        """Give a slot without a position this one, and no documents."""
        ...

    async def advance(self, slot: Slot[Any], step: Step) -> None:
        """Keep the documents and move the position: both, or neither where the step does not fit.

        It fits a position between `after` and `read_at`. A document never replaces a newer one,
        but one of its own version, since a view may change without an event of its turn. The
        position never goes back. Pages are dropped where it moves, and by a step from 0 to 0.
        """
        ...


class ErasingCache(Protocol):
    """For who must know that nothing of a person is left; each method raises `CacheAway`."""

    async def position(self, slot: Slot[Any]) -> int | None:
        """See `FollowingCache.position`."""
        ...

    async def begin_again(self, slot: Slot[Any], position: int) -> None:
        """Void all documents and pages of a slot, and give it this position, whatever it had."""
        ...

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        """Remove the user's documents, and all pages, which may show the user.

        From these slots, and as former logs and forms had them.
        """
        ...


class RecentlyRead(Protocol):
    """What is worth copying to another slot: whoever is in the cache was asked for lately."""

    async def hot(self, slot: Slot[Any], most: int) -> Collection[UUID]:
        """Up to `most` users whose documents a slot has. Raises `CacheAway`."""
        ...


class RefreshQueue(Protocol):
    """Streams whose views changed without a move of the position. Each raises `Unavailable`."""

    async def waiting(self, projection: str) -> Mapping[int, tuple[Slot[Any], UUID]]:
        """Some of those whose copies are not known to be replaced, by a number each."""
        ...

    async def replaced(self, numbers: Collection[int]) -> None:
        """Their copies are."""
        ...


class StatsCache(Protocol):
    """The statistics of each day: one document that carries its position with it."""

    async def look_up(self, slot: Slot[Any], day: str) -> Answer[bytes] | None:
        """The newest that is kept; None where there is none, or the cache is away."""
        ...

    def offer(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        """Have a document kept, unless a newer one is; returns at once."""
        ...

    async def replace(self, slot: Slot[Any], day: str, document: Answer[bytes]) -> None:
        """Keep a document, also in the place of another of its position. Raises `CacheAway`."""
        ...


class ReadersCache(Protocol):
    """All that a cache is to readers."""

    @property
    def users(self) -> UserCache: ...

    @property
    def stats(self) -> StatsCache: ...

    @property
    def pages(self) -> PageCache: ...

    @property
    def counts(self) -> CacheCounts:
        """What this process asked of it: hits are counted by who judges them, the rest by it."""
        ...


class ChangedStreams(Struct, frozen=True):
    """Streams with events after a position, by kind; `reached` is the last position looked at."""

    streams: Collection[tuple[str, UUID]]
    reached: int


class ChangeFeed(Protocol):
    """The log for those who need not know what happened, but to whom."""

    async def changed(self, after: int, limit: int) -> ChangedStreams:
        """The streams of up to `limit` events after a position. Raises `Unavailable`."""
        ...


class EntriesAt(Struct, Generic[V], frozen=True):
    """Some entries of a slot and its position, all of one moment."""

    position: int
    entries: Mapping[UUID, Entry[V]]


class ViewEntries(Protocol):
    """The views for those who copy them."""

    async def entries(self, slot: Slot[V], streams: Collection[UUID]) -> EntriesAt[V]:
        """The entries of these streams; absent where there is none. Raises `Unavailable`."""
        ...
