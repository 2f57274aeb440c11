"""How much of a process one client may take: streams at once, and messages it sends."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from interfaces.stream.closing import CloseCode, Closed

_WINDOW_SECONDS: Final = 60.0


class OpenStreams:
    """Counts streams by whose they are, and refuses one more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = Counter[str]()

    @contextmanager
    def one_more(self, owner: str) -> Generator[None]:
        """Raises `Closed`."""
        if self._open[owner] >= self._most:
            raise Closed(CloseCode.TOO_MANY, f"{self._most} streams are open already.")
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


class MessageBudget:
    """A client has nothing to say once its stream is open; it is not cut off for saying little."""

    def __init__(self, max_a_minute: int) -> None:
        self._most = max_a_minute
        self._left = max_a_minute
        self._until = 0.0

    def spend(self) -> None:
        """Raises `Closed` where too much was said within a minute."""
        now = monotonic()
        if now >= self._until:
            self._left, self._until = self._most, now + _WINDOW_SECONDS
        self._left -= 1
        if self._left < 0:
            raise Closed(CloseCode.TOO_MANY, f"More than {self._most} messages within a minute.")
