"""A cache of log pages for all followers of a process: a page is read and opened once."""

import asyncio
from typing import Final

from application.log.event_log import FeedPage
from application.log.follower import PageSource

# Followers may be 8,000 events apart before a page is read twice.
_PAGES: Final = 16
# Pages hold personal data in the clear, so they must not outlive an erasure for long.
_KEPT_SECONDS: Final = 1.0


class SharedPages:
    """A page source that caches the last full pages for a short time.

    Only full pages are shared, because they never change. At the head of the log each follower
    reads itself, because a running read may have begun before the event that it looks for.
    """

    def __init__(self, pages: PageSource, kept_seconds: float = _KEPT_SECONDS) -> None:
        self._pages = pages
        self._kept_seconds = kept_seconds
        self._full: dict[tuple[int, int], FeedPage] = {}
        self._reading: dict[tuple[int, int], asyncio.Event] = {}

    async def read(self, after: int, limit: int) -> FeedPage:
        asked = (after, limit)
        if (reading := self._reading.get(asked)) is not None:
            await reading.wait()
        if (cached := self._full.get(asked)) is not None:
            return cached
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
        """Cache a page for `kept_seconds`, and at most the newest `_PAGES` pages."""
        self._full[asked] = page
        if len(self._full) > _PAGES:
            del self._full[next(iter(self._full))]

        def forget() -> None:
            if self._full.get(asked) is page:
                del self._full[asked]

        asyncio.get_running_loop().call_later(self._kept_seconds, forget)
