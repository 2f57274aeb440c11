"""A cancellation that a client library swallowed takes effect before the next wait."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from application.retry import BackOff
from infrastructure.doorbell.memory import MemoryDoorbell


async def wait_for_bell() -> None:
    async with MemoryDoorbell().listen("log") as bell:
        await bell.wait(60)


async def back_off() -> None:
    await BackOff("test").wait(ConnectionError())


@pytest.mark.parametrize("wait", [wait_for_bell, back_off])
async def test_a_cancelled_task_does_not_wait_again(wait: Callable[[], Awaitable[None]]) -> None:
    async def loop() -> None:
        # Like `asyncio.wait_for`, when the awaited result arrives at the same moment.
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
