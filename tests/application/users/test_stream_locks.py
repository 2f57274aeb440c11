"""Commands on one stream take turns, and no command waits longer than the limit."""

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


async def test_a_command_that_waits_too_long_is_refused() -> None:
    locks = StreamLocks()
    holder = asyncio.create_task(hold(locks, 0.5))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        async with asyncio.timeout(0.3), locks.turn(STREAM):
            pass
    await holder


async def test_a_command_that_arrives_between_two_turns_also_times_out() -> None:
    locks = StreamLocks()
    async with locks.turn(STREAM):
        holder = asyncio.create_task(hold(locks, 0.5))
        await asyncio.sleep(0)
    # The lock is free at this moment, but the holder has the next turn.
    with pytest.raises(Overloaded):
        async with asyncio.timeout(0.3), locks.turn(STREAM):
            pass
    await holder


async def test_turns_come_in_order_of_arrival_and_other_streams_do_not_wait() -> None:
    locks = StreamLocks()
    order: list[int] = []

    async def take(number: int) -> None:
        async with locks.turn(STREAM):
            await asyncio.sleep(0)
            order.append(number)

    async with locks.turn(UUID(int=2)):
        await asyncio.gather(*map(take, range(20)))
    assert order == list(range(20))
