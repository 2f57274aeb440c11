"""A cancellation that a client of a server lost is heeded before the next wait."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from application.retry import BackOff
from infrastructure.doorbell.memory import MemoryDoorbell


async def at_the_bell() -> None:
    async with MemoryDoorbell().listen("log") as bell:
        await bell.wait(60)


async def backing_off() -> None:
    await BackOff("test").wait(ConnectionError())


@pytest.mark.parametrize("wait", [at_the_bell, backing_off])
async def test_who_was_cancelled_waits_no_more(wait: Callable[[], Awaitable[None]]) -> None:
    async def loop() -> None:
        # As `asyncio.wait_for` does when what it waits for comes in the same moment.
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        while True:
            await wait()

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    task.cancel()
    _, pending = await asyncio.wait({task}, timeout=1)
    task.cancel()
    assert not pending
    assert task.cancelled()
