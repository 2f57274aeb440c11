"""Work that takes milliseconds is done piece by piece, so that the event loop goes on."""

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Final, TypeVar

from application.errors import Overloaded

T = TypeVar("T")
R = TypeVar("R")

_SLICE_SECONDS: Final = 0.001
_MAX_WAITING: Final = 128
# As a multiple of the time that a piece took: all pieces together get a sixth of the event loop.
_REST: Final = 5


async def in_slices(items: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """The result of each item, in order; the event loop runs everything else after each slice."""
    results: list[R] = []
    until = perf_counter() + _SLICE_SECONDS
    for item in items:
        results.append(work(item))
        if perf_counter() > until:
            await asyncio.sleep(0)
            until = perf_counter() + _SLICE_SECONDS
    return results


class Turns:
    """One piece at a time, with rests: the event loop runs everything else in between."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in its turn, in the order of the calls.

        Raises what the work raises, and `Overloaded` if too many wait already.
        """
        if self._waiting == _MAX_WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        began = perf_counter()
        try:
            return work()
        finally:
            rest = _REST * (perf_counter() - began)
            asyncio.get_running_loop().call_later(rest, self._turn.release)
