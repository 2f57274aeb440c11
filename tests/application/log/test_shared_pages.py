"""Followers of one process share full pages of the log for a short time."""

import asyncio
import weakref

import pytest

from application.errors import Unavailable
from application.log.event_log import FeedPage
from application.log.shared_pages import SharedPages
from domain.event import Event, Recorded
from tests.support.log.feeds import ListFeed
from tests.support.views.histories import recorded, registered

EVENTS = [recorded(registered(), n, n) for n in range(1, 8)]


class Events(list[Recorded[Event]]):
    """A list that supports weak references."""


class CountingFeed(ListFeed):
    """Counts the reads; each read yields to the event loop once."""

    reads = 0

    async def read(self, after: int, limit: int) -> FeedPage:
        self.reads += 1
        page = await super().read(after, limit)
        await asyncio.sleep(0)
        return FeedPage(events=Events(page.events), reached=page.reached)


@pytest.fixture
def feed() -> CountingFeed:
    return CountingFeed(EVENTS)


async def test_a_full_page_is_read_once(feed: CountingFeed) -> None:
    shared = SharedPages(feed)
    first, second = await asyncio.gather(shared.read(0, 3), shared.read(0, 3))
    assert (await shared.read(0, 3)) is first is second
    assert feed.reads == 1


async def test_at_the_head_each_reader_reads_the_log_itself(feed: CountingFeed) -> None:
    shared = SharedPages(feed)

    async def read_later() -> FeedPage:
        await asyncio.sleep(0)
        feed.events.append(recorded(registered(), 8, 8))
        return await shared.read(7, 3)

    early, fresh = await asyncio.gather(shared.read(7, 3), read_later())
    assert (len(early.events), len(fresh.events)) == (0, 1)


async def test_a_page_expires(feed: CountingFeed) -> None:
    shared = SharedPages(feed, kept_seconds=0.01)
    await shared.read(0, 3)
    await asyncio.sleep(0.02)
    await shared.read(0, 3)
    assert feed.reads == 2


async def test_a_page_expires_without_another_read(feed: CountingFeed) -> None:
    """A page holds personal data in the clear, and a follower that waits for its lead reads nothing."""
    shared = SharedPages(feed, kept_seconds=0.01)
    events = (await shared.read(0, 3)).events
    assert isinstance(events, Events)
    reference = weakref.ref(events)
    del events
    assert reference() is not None
    await asyncio.sleep(0.02)
    assert reference() is None


async def test_only_the_newest_pages_are_cached(feed: CountingFeed) -> None:
    shared = SharedPages(feed)
    for after in range(7):
        for limit in (1, 2, 3):
            await shared.read(after, limit)
    reads = feed.reads
    await shared.read(0, 1)
    assert feed.reads == reads + 1


async def test_a_failed_read_does_not_fail_the_other_readers(feed: CountingFeed) -> None:
    shared = SharedPages(feed)
    feed.is_unavailable = True

    async def next_reader() -> FeedPage:
        await asyncio.sleep(0)
        feed.is_unavailable = False
        return await shared.read(0, 3)

    failed, page = await asyncio.gather(shared.read(0, 3), next_reader(), return_exceptions=True)
    assert isinstance(failed, Unavailable)
    assert isinstance(page, FeedPage)
    assert len(page.events) == 3
