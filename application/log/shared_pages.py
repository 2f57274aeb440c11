"""One reading of the log for all followers of a process: a page is read and opened once."""

import asyncio
from typing import Final

from application.log.event_log import FeedPage
from application.log.follower import PageSource

# Followers drift apart by this much before a page is read twice: 8,000 events.
_PAGES: Final = 16
# Pages hold people's data in the clear: they do not outlive an erasure by more than this.
_KEPT_SECONDS: Final = 1.0


class SharedPages:
    """A source of pages that remembers the last full ones for a moment.

    Only a full page can be shared: it will never be another. At the head of the log each reader
    looks for itself, because a read that is under way may have begun before what it is looking for.
    """

    def __init__(self, pages: PageSource, kept_seconds: float = _KEPT_SECONDS) -> None:
        self._pages = pages
        self._kept_seconds = kept_seconds
        self._full: dict[tuple[int, int], FeedPage] = {}
        self._reading: dict[tuple[int, int], asyncio.Event] = {}

    async def read(self, after: int, limit: int) -> FeedPage:
        """See `EventFeed.read`."""
        asked = (after, limit)
        if (reading := self._reading.get(asked)) is not None:
            await reading.wait()
        if (known := self._full.get(asked)) is not None:
            return known
        done = self._reading[asked] = asyncio.Event()
        try:
            page = await self._pages.read(after, limit)
        finally:
            if self._reading.get(asked) is done:
                del self._reading[asked]
            done.set()
        if len(page.events) == limit:
            self._keep(asked, page)
        return page

    def _keep(self, asked: tuple[int, int], page: FeedPage) -> None:
        """For so long, whether or not anybody reads on; and no more than the newest few."""
        self._full[asked] = page
        if len(self._full) > _PAGES:
            del self._full[next(iter(self._full))]

        def forget() -> None:
            if self._full.get(asked) is page:
                del self._full[asked]

        asyncio.get_running_loop().call_later(self._kept_seconds, forget)
