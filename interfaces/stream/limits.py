"""Limits for clients of a process: open streams, silent connections, and frames that they send."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from time import monotonic
from typing import Final, TypeVar

from interfaces.stream.closing import CloseCode, Closed

_WINDOW_SECONDS: Final = 60.0

T = TypeVar("T")


class OpenStreams:
    """Counts open streams by owner; refuses more than `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = Counter[str]()

    @contextmanager
    def one_more(self, owner: str) -> Generator[None]:
        """Raises `Closed` if the owner has reached the limit."""
        if self._open[owner] >= self._limit:
            raise Closed(CloseCode.TOO_MANY, f"{self._limit} streams are open already.")
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


class SilentStreams:
    """Waits for the first messages of clients that have not signed in: for `seconds`, each.

    At most `limit` clients wait, and at most `limit_per_address` from one address. For one more,
    the oldest is closed: a client that wants to sign in does it at once.
    """

    def __init__(self, limit: int, limit_per_address: int, seconds: float) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._seconds = seconds
        # The oldest first, with its address.
        self._waiting: dict[asyncio.Timeout, str] = {}

    async def first(self, address: str, message: Awaitable[T]) -> T:
        """The first message of a client at this address. Raises `Closed`."""
        self._make_room(address)
        timeout = asyncio.timeout(self._seconds)
        try:
            async with timeout:
                self._waiting[timeout] = address
                return await message
        except TimeoutError:
            if timeout in self._waiting:
                reason = f"Nothing was sent within {self._seconds:g} s."
                raise Closed(CloseCode.NO_FIRST_MESSAGE, reason) from None
            reason = "Too many connections have not signed in; try again."
            raise Closed(CloseCode.TRY_AGAIN_LATER, reason) from None
        finally:
            self._waiting.pop(timeout, None)

    def _make_room(self, address: str) -> None:
        of_address = [waiting for waiting, its in self._waiting.items() if its == address]
        if len(of_address) >= self._limit_per_address:
            self._close(of_address[0])
        elif len(self._waiting) >= self._limit:
            self._close(next(iter(self._waiting)))

    def _close(self, waiting: asyncio.Timeout) -> None:
        del self._waiting[waiting]
        if not waiting.expired():
            waiting.reschedule(asyncio.get_running_loop().time())


class MessageBudget:
    """Limits the frames that a client sends; it needs to send none once its stream is open."""

    def __init__(self, max_a_minute: int) -> None:
        self._limit = max_a_minute
        self._left = max_a_minute
        self._until = 0.0

    def spend(self) -> None:
        """Raises `Closed` after too many messages within a minute."""
        now = monotonic()
        if now >= self._until:
            self._left, self._until = self._limit, now + _WINDOW_SECONDS
        self._left -= 1
        if self._left < 0:
            raise Closed(CloseCode.TOO_MANY, f"More than {self._limit} messages within a minute.")
