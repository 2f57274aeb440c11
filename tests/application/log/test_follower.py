"""The follower's loop: it wakes at the bell, misses no event and retries for ever."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from application.doorbell import LOG
from application.errors import Unavailable
from application.log.event_log import FeedPage
from application.log.follower import NotLeading, follow
from infrastructure.doorbell.memory import MemoryDoorbell
from tests.support.log.feeds import ListFeed
from tests.support.run.background import in_background
from tests.support.views.histories import recorded, registered

EVENTS = [recorded(registered(), n, n * 10) for n in range(1, 8)]


class RecordingFollower:
    """Records the pages that it handled. `stored_position` survives a lost lead."""

    def __init__(self) -> None:
        self.pages: list[list[int]] = []
        self.stored_position = 0
        self.times_led = 0
        self.failures: list[Exception] = []

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator["RecordingFollower"]:
        self.times_led += 1
        yield self

    @property
    def position(self) -> int:
        return self.stored_position

    async def handle(self, page: FeedPage) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.pages.append([event.position for event in page.events])
        self.stored_position = page.reached

    async def reach(self, position: int) -> None:
        async with asyncio.timeout(5):
            while self.stored_position < position:
                await asyncio.sleep(0.005)


@pytest.fixture
def follower() -> RecordingFollower:
    return RecordingFollower()


@asynccontextmanager
async def following(
    follower: RecordingFollower, feed: ListFeed, doorbell: MemoryDoorbell | None = None
) -> AsyncGenerator[None]:
    async with in_background(follow("notes", follower.lead, feed, doorbell or MemoryDoorbell())):
        yield


async def test_the_follower_handles_every_page_once_and_in_order(
    follower: RecordingFollower,
) -> None:
    async with following(follower, ListFeed(EVENTS, limit=3)):
        await follower.reach(70)
    assert follower.pages == [[10, 20, 30], [40, 50, 60], [70]]


async def test_the_bell_wakes_the_follower_long_before_the_poll(
    follower: RecordingFollower,
) -> None:
    feed, doorbell = ListFeed(EVENTS[:1]), MemoryDoorbell()
    async with following(follower, feed, doorbell):
        await follower.reach(10)
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        feed.events.append(EVENTS[1])
        doorbell.ring(LOG)
        await follower.reach(20)
        assert asyncio.get_running_loop().time() - began < 0.5


async def test_without_a_bell_the_follower_polls_once_a_second(follower: RecordingFollower) -> None:
    feed = ListFeed(EVENTS[:1])
    async with following(follower, feed):
        await follower.reach(10)
        feed.events.append(EVENTS[1])
        await follower.reach(20)


@pytest.mark.parametrize("failure", [Unavailable(), NotLeading(), LookupError("Zoë")])
async def test_a_failed_page_is_retried_after_leading_again(
    follower: RecordingFollower, failure: Exception
) -> None:
    follower.failures = [failure]
    with capture_logs() as logs:
        async with following(follower, ListFeed(EVENTS)):
            await follower.reach(70)
    assert follower.times_led == 2
    assert follower.pages == [[10, 20, 30, 40, 50, 60, 70]]
    assert "Zoë" not in str(logs)


async def test_an_outage_is_logged_once_and_its_end_once(follower: RecordingFollower) -> None:
    feed = ListFeed(EVENTS)
    feed.is_unavailable = True
    with capture_logs() as logs:
        async with following(follower, feed):
            await asyncio.sleep(0.5)
            feed.is_unavailable = False
            await follower.reach(70)
    assert follower.times_led > 2
    assert [entry["event"] for entry in logs] == ["follower_waits", "follower_goes_on"]


@pytest.mark.parametrize("error", [None, Unavailable()])
async def test_a_cancellation_swallowed_by_a_client_library_ends_the_follower(
    follower: RecordingFollower, error: Exception | None
) -> None:
    is_waiting = asyncio.Event()

    @asynccontextmanager
    async def lead() -> AsyncGenerator[RecordingFollower]:
        if not is_waiting.is_set():
            is_waiting.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        if error is not None:
            raise error
        yield follower

    task = asyncio.create_task(follow("notes", lead, ListFeed(EVENTS), MemoryDoorbell()))
    await is_waiting.wait()
    task.cancel()
    assert await asyncio.wait({task}, timeout=1) == ({task}, set())
    assert task.cancelled()
    assert follower.pages == []
