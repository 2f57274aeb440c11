"""How often the cache could answer, counted in this process since it started."""

from msgspec import Struct, field


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
