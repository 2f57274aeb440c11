"""The one loop that reads the log, handles a page and moves a checkpoint; it always retries."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final, NoReturn, Protocol

from structlog import get_logger

from application.doorbell import LOG, Bell, Doorbell
from application.log.event_log import FeedPage
from application.retry import BackOff, raise_if_cancelled

PAGE_EVENTS: Final = 500
# The longest delay after a missed wake-up.
POLL_SECONDS: Final = 1.0

log = get_logger(__name__)


class NotLeading(Exception):
    """Another process moves this checkpoint now; the state in memory is no longer valid."""


class PageSource(Protocol):
    """The part of `EventFeed` that a follower needs."""

    async def read(self, after: int, limit: int) -> FeedPage: ...


class Follower(Protocol):
    """Handles the log in the one process that leads."""

    @property
    def position(self) -> int:
        """The checkpoint. Raises `NotLeading` once the lead is known to be lost."""
        ...

    async def handle(self, page: FeedPage) -> None:
        """Handle a page and move the checkpoint to `page.reached`: both or neither.

        Raises `NotLeading`, or `Unavailable`: the page is then retried.
        """
        ...


async def follow(
    name: str,
    lead: Callable[[], AbstractAsyncContextManager[Follower]],
    feed: PageSource,
    doorbell: Doorbell,
) -> NoReturn:
    """Follow the log for ever; cancel it to stop, also in the middle of a page.

    `lead` waits until this process leads. Every failure is retried, also that of a server that is
    away. It is visible as lag and never ends the process.
    """
    back_off = BackOff(name)
    while True:
        try:
            async with (
                lead() as follower,
                # Listens before the first read, so that an event recorded in between rings.
                doorbell.listen(LOG) as bell,
                aclosing(_pages(feed, bell, follower.position)) as pages,
            ):
                async for page in pages:
                    raise_if_cancelled()
                    if page.reached > follower.position:
                        await follower.handle(page)
                    back_off.reset()
        except NotLeading:
            log.info("follower_lost_lead", follower=name)
        except Exception as error:
            raise_if_cancelled()
            await back_off.wait(error)


async def _pages(feed: PageSource, bell: Bell, after: int) -> AsyncGenerator[FeedPage]:
    """The log after a position; at its head one empty page, then a wait for the bell.

    The next page is read while the last one is handled.
    """
    ahead = asyncio.create_task(feed.read(after, PAGE_EVENTS))
    try:
        while True:
            page = await ahead
            if page.reached == after:
                yield page
                await bell.wait(POLL_SECONDS)
                ahead = asyncio.create_task(feed.read(after, PAGE_EVENTS))
            else:
                after = page.reached
                ahead = asyncio.create_task(feed.read(after, PAGE_EVENTS))
                yield page
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)
