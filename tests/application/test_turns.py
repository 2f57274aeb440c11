"""Pieces of work in turn: one at a time, with everything else in between."""

import asyncio
import time

import pytest

from application.errors import Overloaded
from application.turns import Turns, in_slices


def work(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


async def test_the_event_loop_runs_other_tasks_between_two_pieces() -> None:
    turns, longest, stop = Turns(), 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not stop.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    results = await asyncio.gather(*(turns.run(lambda: work(0.02)) for _ in range(8)))
    stop.set()
    await watching
    assert results == [0.02] * 8
    assert longest < 2 * 0.02
    # Seven rests of five times as long lie between them.
    assert time.perf_counter() - began > 8 * 0.02 + 7 * 0.1


async def test_a_piece_that_fails_fails_alone() -> None:
    turns = Turns()

    def fail() -> None:
        raise ValueError("wrong")

    failed, done = await asyncio.gather(
        turns.run(fail), turns.run(lambda: work(0)), return_exceptions=True
    )
    assert isinstance(failed, ValueError)
    assert done == 0


async def test_too_many_that_wait_are_refused_and_one_that_is_cancelled_gives_up_its_place() -> (
    None
):
    turns = Turns()
    await turns.run(lambda: work(0.05))
    waiting = [asyncio.create_task(turns.run(lambda: work(0))) for _ in range(128)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await turns.run(lambda: work(0))
    waiting.pop().cancel()
    await asyncio.sleep(0)
    assert await turns.run(lambda: work(0)) == 0
    assert await asyncio.gather(*waiting) == [0] * 127


async def test_a_long_list_of_items_is_handled_in_slices_and_in_order() -> None:
    others = 0

    async def count_turns() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    assert await in_slices([0.004] * 10, work) == [0.004] * 10
    assert others >= 10
    counting.cancel()
    assert await in_slices(range(5), str) == ["0", "1", "2", "3", "4"]
    assert await in_slices([], work) == []
