"""A few attempts in any minute: exact, also at the same time, and with the other processes."""

import asyncio
from collections.abc import Sequence

from application.access.limits_windows import Attempts, Window

WINDOW = Window("sign-in", 3, 60)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Shared:
    """The other processes: answers with these waits, then admits."""

    def __init__(self, waits: Sequence[float] = ()) -> None:
        self._waits = list(waits)
        self.asked = 0

    async def attempt(self, window: Window, key: str) -> float:
        self.asked += 1
        await asyncio.sleep(0)
        return self._waits.pop(0) if self._waits else 0


async def test_any_minute_has_three_attempts() -> None:
    clock = Clock()
    attempts = Attempts(WINDOW, clock=clock)
    waits: list[float] = []
    for pause in (0, 10, 10, 10, 29, 1, 0):
        clock.now += pause
        waits.append(await attempts.attempt("address"))
    assert waits == [0, 0, 0, 30, 1, 0, 10]


async def test_attempts_at_the_same_time_are_counted_one_by_one() -> None:
    shared = Shared()
    attempts = Attempts(WINDOW, shared, clock=Clock())
    waits = await asyncio.gather(*(attempts.attempt("address") for _ in range(10)))
    assert sum(wait == 0 for wait in waits) == 3
    assert shared.asked == 3


async def test_what_other_processes_refuse_is_refused_without_asking_again() -> None:
    clock, shared = Clock(), Shared([0, 42.0])
    attempts = Attempts(WINDOW, shared, clock=clock)
    assert [await attempts.attempt("address") for _ in range(4)] == [0, 42, 42, 42]
    assert shared.asked == 2
    clock.now += 42
    assert [await attempts.attempt("address") for _ in range(3)] == [0, 0, 18]
    assert await attempts.attempt("another") == 0


async def test_only_the_keys_used_last_are_kept() -> None:
    attempts = Attempts(WINDOW, max_keys=2, clock=Clock())
    for key in ("a", "a", "a", "b", "c"):
        await attempts.attempt(key)
    assert await attempts.attempt("a") == 0
