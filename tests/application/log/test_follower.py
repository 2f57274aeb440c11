"""The follower's loop: it wakes by the bell, misses nothing and never gives up."""

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
from tests.support.run.background import at_work
from tests.support.views.histories import recorded, registered

EVENTS = [recorded(registered(), n, n * 10) for n in range(1, 8)]


class Notebook:
    """A follower that writes down what it handled; what is kept of it survives a lost lead."""

    def __init__(self) -> None:
        self.pages: list[list[int]] = []
        self.kept = 0
        self.leads = 0
        self.failures: list[Exception] = []

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator["Notebook"]:
        self.leads += 1
        yield self

    @property
    def position(self) -> int:
        return self.kept

    async def handle(self, page: FeedPage) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.pages.append([event.position for event in page.events])
        self.kept = page.reached

    async def reach(self, position: int) -> None:
        async with asyncio.timeout(5):
            while self.kept < position:
                await asyncio.sleep(0.005)


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@asynccontextmanager
async def following(
    notebook: Notebook, feed: ListFeed, doorbell: MemoryDoorbell | None = None
) -> AsyncGenerator[None]:
    async with at_work(follow("notes", notebook.lead, feed, doorbell or MemoryDoorbell())):
        yield


async def test_it_handles_every_page_once_and_in_order(notebook: Notebook) -> None:
    async with following(notebook, ListFeed(EVENTS, limit=3)):
        await notebook.reach(70)
    assert notebook.pages == [[10, 20, 30], [40, 50, 60], [70]]


async def test_the_bell_wakes_it_long_before_the_poll(notebook: Notebook) -> None:
    feed, doorbell = ListFeed(EVENTS[:1]), MemoryDoorbell()
    async with following(notebook, feed, doorbell):
        await notebook.reach(10)
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        feed.events.append(EVENTS[1])
        doorbell.ring(LOG)
        await notebook.reach(20)
        assert asyncio.get_running_loop().time() - began < 0.5


async def test_without_a_bell_it_looks_once_a_second(notebook: Notebook) -> None:
    feed = ListFeed(EVENTS[:1])
    async with following(notebook, feed):
        await notebook.reach(10)
        feed.events.append(EVENTS[1])
        await notebook.reach(20)


@pytest.mark.parametrize("failure", [Unavailable(), NotLeading(), LookupError("Zoë")])
async def test_a_failed_page_is_handled_again_under_a_new_lead(
    notebook: Notebook, failure: Exception
) -> None:
    notebook.failures = [failure]
    with capture_logs() as logs:
        async with following(notebook, ListFeed(EVENTS)):
            await notebook.reach(70)
    assert notebook.leads == 2
    assert notebook.pages == [[10, 20, 30, 40, 50, 60, 70]]
    assert "Zoë" not in str(logs)


async def test_an_outage_is_said_once_and_its_end_once(notebook: Notebook) -> None:
    feed = ListFeed(EVENTS)
    feed.is_away = True
    with capture_logs() as logs:
        async with following(notebook, feed):
            await asyncio.sleep(0.5)
            feed.is_away = False
            await notebook.reach(70)
    assert notebook.leads > 2
    assert [entry["event"] for entry in logs] == ["follower_waits", "follower_goes_on"]


@pytest.mark.parametrize("then", [None, Unavailable()])
async def test_a_cancellation_that_a_client_of_a_server_loses_ends_it(
    notebook: Notebook, then: Exception | None
) -> None:
    waits = asyncio.Event()

    @asynccontextmanager
    async def lead() -> AsyncGenerator[Notebook]:
        if not waits.is_set():
            waits.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        if then is not None:
            raise then
        yield notebook

    task = asyncio.create_task(follow("notes", lead, ListFeed(EVENTS), MemoryDoorbell()))
    await waits.wait()
    task.cancel()
    assert await asyncio.wait({task}, timeout=1) == ({task}, set())
    assert task.cancelled()
    assert notebook.pages == []
