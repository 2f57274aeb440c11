"""A fault run: callers append and projectors work during a fault; then the invariants hold."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from application.log.event_log import EventLog
from tests.support.log.callers import Callers, disagreements
from tests.support.log.invariants import differing_views
from tests.support.views.directory import ReadSide


@asynccontextmanager
async def fault_run(log: EventLog, url: str, callers: int) -> AsyncGenerator[Callers]:
    """Inside, the test injects its fault; at the end, the four invariants are checked.

    `url` bypasses the part that fails, if it can be bypassed.
    """
    async with ReadSide.open(url) as read_side, read_side.projecting():
        async with Callers.of(log, callers) as calling:
            yield calling
        assert await disagreements(url, calling) == []
        await read_side.caught_up()
        assert await differing_views(read_side.url, read_side.events) == []
