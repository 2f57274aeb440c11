"""Limits for one client in a process: open streams, and messages that it sends."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from interfaces.stream.closing import CloseCode, Closed

_WINDOW_SECONDS: Final = 60.0


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


class MessageBudget:
    """Limits the messages of a client; it needs to send none once its stream is open."""

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
