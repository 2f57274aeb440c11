"""How long a connection waits for its client."""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

# What a client must do next: send a request after an answer, finish a head (from its first byte, or
# from the connection), send the next piece of a body, finish a body that is answered already, or
# close after a refusal.
Awaited = Literal["request", "head", "piece", "rest", "close"]

SECONDS: Final[dict[Awaited, float]] = {
    "request": 5.0,
    "head": 8.0,
    "piece": 30.0,
    "rest": 5.0,
    "close": 2.0,
}


class Deadline:
    """Calls `expired` if the client does not do in time what is awaited."""

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[Awaited], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self.awaited: Awaited | None = None

    def set(self, awaited: Awaited | None) -> None:
        """Wait for this; nothing changes if it is awaited already. None waits for nothing."""
        if awaited == self.awaited:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.awaited = awaited
        if awaited is not None:
            self._start(awaited, SECONDS[awaited])
            self.renew()

    def renew(self) -> None:
        """Wait for the same from now on."""
        self._began = self._loop.time()

    def _start(self, awaited: Awaited, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._check, awaited)

    def _check(self, awaited: Awaited) -> None:
        left = self._began + SECONDS[awaited] - self._loop.time()
        if left > 0:
            # A timer for each piece of a body would cost more than one that is late.
            self._start(awaited, left)
        else:
            self._timer = self.awaited = None
            self._expired(awaited)
