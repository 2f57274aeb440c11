"""Turns at a stream: one after another, and nobody waits for one without end."""

import asyncio
from uuid import UUID

import pytest

from application.errors import Overloaded
from application.users import stream_locks
from application.users.stream_locks import StreamLocks

STREAM = UUID(int=1)


@pytest.fixture(autouse=True)
def short_timeout_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_locks, "WAIT_SECONDS", 0.1)


async def hold(locks: StreamLocks, seconds: float) -> None:
    async with locks.turn(STREAM):
        await asyncio.sleep(seconds)


async def test_whoever_waits_too_long_is_told_that_nothing_was_recorded() -> None:
    locks = StreamLocks()
    holder = asyncio.create_task(hold(locks, 0.5))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        async with asyncio.timeout(0.3), locks.turn(STREAM):
            pass
    await holder


async def test_whoever_comes_between_two_turns_does_not_wait_without_end() -> None:
    locks = StreamLocks()
    async with locks.turn(STREAM):
        holder = asyncio.create_task(hold(locks, 0.5))
        await asyncio.sleep(0)
    # The lock is free in this moment, but its next turn is the holder's.
    with pytest.raises(Overloaded):
        async with asyncio.timeout(0.3), locks.turn(STREAM):
            pass
    await holder


async def test_turns_come_in_the_order_of_arrival_and_other_streams_do_not_wait() -> None:
    locks = StreamLocks()
    order: list[int] = []

    async def take(number: int) -> None:
        async with locks.turn(STREAM):
            await asyncio.sleep(0)
            order.append(number)

    async with locks.turn(UUID(int=2)):
        await asyncio.gather(*map(take, range(20)))
    assert order == list(range(20))
