"""Projectors of some slots in this process, for tests."""

import asyncio
from collections.abc import Iterable
from typing import Any, NoReturn

from application.doorbell import Doorbell
from application.log.event_log import EventFeed
from application.log.shared_pages import SharedPages
from application.projector.automatic_retry import Retry
from application.projector.projector import run_projector
from application.projector.view_store import Slot, ViewStore


async def no_retry(slot: Slot[Any]) -> NoReturn:
    """Retries nothing automatically: a test retries what it parks."""
    await asyncio.Event().wait()
    raise AssertionError(f"{slot} is never woken")


async def run_projectors(
    slots: Iterable[Slot[Any]],
    store: ViewStore,
    feed: EventFeed,
    doorbell: Doorbell,
    retry: Retry = no_retry,
) -> None:
    """Run a projector for each slot while this process leads it; cancel it to stop."""
    pages = SharedPages(feed)
    async with asyncio.TaskGroup() as group:
        for slot in slots:
            group.create_task(run_projector(slot, store, pages, doorbell, retry))
