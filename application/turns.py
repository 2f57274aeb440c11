"""Work that takes milliseconds is done one piece at a time, with rests, so that others go on."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Final, TypeVar

from application.errors import Overloaded

T = TypeVar("T")

_MAX_WAITING: Final = 128
# As a multiple of the time that a piece took: all pieces together get a quarter of the event loop.
_REST: Final = 3


class Turns:
    """The event loop runs everything else between two pieces."""

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
