"""Several processes share a limit, although each learns late what the others have used."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.access.limits_buckets import Buckets, Rate
from application.access.limits_sums import INTERVAL_SECONDS, SharedUse

RATE = Rate("test", per_second=200, burst=400)
STEP = 0.05


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Sums:
    """The sums of all processes, in memory."""

    def __init__(self) -> None:
        self.totals = Counter[str]()
        self.is_away = False
        self.asked: list[Mapping[str, int]] = []

    async def add(self, used: Mapping[str, int]) -> Mapping[str, int]:
        self.asked.append(used)
        if self.is_away:
            return {}
        self.totals.update(used)
        return {key: self.totals[key] for key in used}


class Process:
    """One process with its bucket; its rounds come at its own times."""

    def __init__(self, clock: Clock, sums: Sums, first_round: float = 0) -> None:
        self.buckets = Buckets(RATE, clock=clock)
        self.use = SharedUse(sums, [self.buckets], clock)
        self._clock = clock
        self._next = clock.now + first_round

    def admitted(self, requests: int) -> int:
        return sum(self.buckets.take("key") >= 0 for _ in range(requests))

    async def round_if_due(self) -> None:
        if self._clock.now >= self._next:
            self._next += INTERVAL_SECONDS
            await self.use.round()


async def _admitted(processes: int, wanted: list[int], seconds: int) -> list[int]:
    """What all processes admit, step by step; `wanted` requests a step come to each."""
    clock, sums = Clock(), Sums()
    running = [
        Process(clock, sums, INTERVAL_SECONDS * number / processes) for number in range(processes)
    ]
    found: list[int] = []
    for _ in range(int(seconds / STEP)):
        clock.now += STEP
        found.append(0)
        for process, requests in zip(running, wanted, strict=False):
            found[-1] += process.admitted(requests)
            await process.round_if_due()
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(0, 60), min_size=4, max_size=4))
def test_all_processes_together_keep_the_rate(processes: int, wanted: list[int]) -> None:
    seconds = 20
    found = asyncio.run(_admitted(processes, wanted, seconds))
    asked = sum(wanted[:processes]) / STEP
    # Each process may spend its burst, and what it refills in a second, before it hears.
    late = processes * (RATE.burst + RATE.per_second)
    assert sum(found) <= RATE.per_second * seconds + late
    if asked > RATE.per_second:
        # The latest seconds, without the debt of the first burst.
        assert sum(found[100:]) >= 0.6 * RATE.per_second * (seconds - 100 * STEP) - RATE.burst


async def test_the_use_of_another_process_is_known_after_a_second() -> None:
    clock, sums = Clock(), Sums()
    here, there = Process(clock, sums), Process(clock, sums)
    for process in (here, there):
        process.admitted(10)
        await process.use.round()
    clock.now += INTERVAL_SECONDS
    assert there.admitted(390) == 390
    await there.use.round()
    here.admitted(10)
    await here.use.round()
    assert here.buckets.take("key") == pytest.approx(400 - 10 - 10 - 390 - 1)


async def test_what_others_used_long_ago_is_not_debited() -> None:
    clock, sums = Clock(), Sums()
    here = Process(clock, sums)
    here.admitted(10)
    await here.use.round()
    sums.totals["key"] += 6000
    clock.now += 60
    here.admitted(10)
    await here.use.round()
    assert here.buckets.take("key") == pytest.approx(400 - 10 - 100 - 1)


async def test_a_sum_that_starts_again_is_understood() -> None:
    clock, sums = Clock(), Sums()
    here = Process(clock, sums)
    here.admitted(80)
    await here.use.round()
    sums.totals["key"] = 30
    here.admitted(20)
    await here.use.round()
    assert here.buckets.take("key") == pytest.approx(400 - 100 - 30 - 1)


async def test_while_the_sums_are_away_each_process_limits_alone() -> None:
    clock, sums = Clock(), Sums()
    sums.is_away = True
    here, there = Process(clock, sums), Process(clock, sums)
    for process in (here, there):
        assert process.admitted(500) == 400
        await process.use.round()
    sums.is_away = False
    clock.now += INTERVAL_SECONDS
    assert here.admitted(500) == there.admitted(500) == 100


async def test_small_use_is_not_shared_and_without_use_nothing_is_asked() -> None:
    sums = Sums()
    here = Process(Clock(), sums)
    await here.use.round()
    assert sums.asked == []
    here.buckets.take("small")
    for _ in range(2):
        here.buckets.take("large")
    await here.use.round()
    assert sums.asked == [{"large": 2}]
