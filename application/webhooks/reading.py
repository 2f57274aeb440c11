"""Reads the events of one webhook from the log into its queue, page by page."""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace
from structlog import get_logger

from application.errors import PositionGone
from application.log.event_log import FeedPage
from application.log.search import EventFilter, SearchableFeed
from application.webhooks.delivery_ledger import Checkpoint
from application.webhooks.delivery_queue import DeliveryQueue, up_to
from application.webhooks.health import IN_FLIGHT
from application.webhooks.states import WebhookAt

# A page has about as many events as are delivered in a second. So a fast endpoint waits for no
# page, and personal data of a slow one is not kept in memory for long.
_MIN_PAGE: Final = 2 * IN_FLIGHT
_MAX_PAGE: Final = 400

_HEAD_SECONDS: Final = 0.01

log = get_logger(__name__)


class Pace:
    """Spreads the reads at the head of the log over time, for all webhooks of a process.

    Each event rings for each webhook: a hundred webhooks must not make a hundred reads of each
    commit. So many of them hear of an event some tenths of a second later, and one at once.
    """

    def __init__(self, seconds: float = _HEAD_SECONDS) -> None:
        self._seconds = seconds
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for the next free moment."""
        now = asyncio.get_running_loop().time()
        mine = max(self._next, now)
        self._next = mine + self._seconds
        if mine > now:
            await asyncio.sleep(mine - now)


class EventReader:
    """The place of a webhook in the log: where it reads, and what it has completed.

    A replay with an end reads up to that end, and goes on at `resume_at`.
    """

    def __init__(
        self, webhook: WebhookAt, begun: Checkpoint, queue: DeliveryQueue, feed: SearchableFeed
    ) -> None:
        config = webhook.config
        self.wanted = EventFilter.parse(config.types, user=config.user, every_kind=False)
        self._webhook = webhook
        self._begun = begun
        self._queue = queue
        self._feed = feed
        self._replay_until = None
        if begun.resume_at is not None and webhook.replay is not None:
            self._replay_until = webhook.replay.until
        self._page_events = _MIN_PAGE
        self._page_began = 0.0

    @property
    def is_in_replay(self) -> bool:
        """Whether the end of a replay is ahead."""
        return self._replay_until is not None

    @property
    def checkpoint(self) -> Checkpoint:
        """What is complete."""
        position, resume_at = self._queue.checkpoint, self._begun.resume_at
        if resume_at is not None and position >= resume_at:
            resume_at = None
        return replace(self._begun, position=position, resume_at=resume_at)

    def next_page(self) -> int:
        """The size of the next page: about what was delivered per second since the last one."""
        now = asyncio.get_running_loop().time()
        elapsed, self._page_began = now - self._page_began, now
        rate = (self._page_events - self._queue.waiting) / max(elapsed, 0.001)
        self._page_events = min(max(int(rate), _MIN_PAGE), _MAX_PAGE)
        return self._page_events

    async def read(self, limit: int, is_wanted: Callable[[], bool] = lambda: True) -> bool:
        """Add a page to the queue; False at the head of the log.

        The page is dropped if it is no longer wanted when it arrives. Raises `Unavailable`.
        """
        page = await self.search(self._queue.read_to, self.wanted, limit)
        if not is_wanted():
            return True
        is_at_head = page.reached == self._queue.read_to
        until, resume_at = self._replay_until, self._begun.resume_at
        if until is not None and resume_at is not None and page.reached >= until:
            events = up_to(page, until)
            self._queue.add(events, events[-1].position if events else self._queue.read_to)
            self._queue.skip_to(resume_at)
            self._replay_until = None
            log.info("webhook_replay_ends", webhook=str(self._webhook.id), position=resume_at)
            return True
        self._queue.add(page.events, page.reached)
        return not is_at_head

    async def search(self, after: int, wanted: EventFilter, limit: int) -> FeedPage:
        """See `SearchableFeed.search`; a position that a restore removed is skipped."""
        try:
            return await self._feed.search(after, wanted, limit)
        except PositionGone as gone:
            return await self._feed.search(gone.resume_after, wanted, limit)
