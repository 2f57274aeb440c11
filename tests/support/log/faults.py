"""A fault run: callers append and projectors follow while a test does its harm; then the invariants."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from application.log.event_log import EventLog
from tests.support.log.callers import Callers, disagreements
from tests.support.log.invariants import differing
from tests.support.views.directory import ReadSide


@asynccontextmanager
async def fault_run(log: EventLog, url: str, callers: int) -> AsyncGenerator[Callers]:
    """The harm is done inside; at the end the four invariants hold.

    `url` leads to the database past what the harm is done to, if there is a way past it.
    """
    async with ReadSide.open(url) as read_side, read_side.projecting():
        async with Callers.of(log, callers) as calling:
            yield calling
        assert await disagreements(url, calling) == []
        await read_side.caught_up()
        assert await differing(read_side.url, read_side.events) == []
