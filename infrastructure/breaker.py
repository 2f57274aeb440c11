"""A circuit breaker: after a failure, callers do not wait for the server until a pause is over."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, TypeVar

from redis.exceptions import RedisError
from structlog import get_logger

T = TypeVar("T")

FIRST_PAUSE: Final = 0.5
MAX_PAUSE: Final = 5.0

log = get_logger(__name__)


class CircuitBreaker:
    """Closed until a call fails; then open for a pause that grows with each failure.

    The first call after a pause is the probe: if it succeeds, the breaker closes. `name` begins the
    names of its log events.
    """

    def __init__(
        self,
        name: str,
        timeout_seconds: float,
        first_pause: float = FIRST_PAUSE,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._first_pause = first_pause
        self._clock = clock
        self._pause = first_pause
        self._open_until = 0.0
        self._failing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are rejected now."""
        return self._failing and self._clock() < self._open_until

    async def attempt(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """The result of the work; None if it is rejected, fails or takes too long."""
        if self.is_open:
            return None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                result = await work()
        except (RedisError, OSError) as error:
            self._trip(error)
            return None
        self._close()
        return result

    def _trip(self, error: Exception) -> None:
        if self.is_open:
            # Concurrent calls failed with the first one.
            return
        if not self._failing:
            log.warning(f"{self._name}_away", error=type(error).__name__)
        self._failing = True
        self._open_until = self._clock() + self._pause
        self._pause = min(self._pause * 2, MAX_PAUSE)

    def _close(self) -> None:
        if self._failing and not self.is_open:
            log.info(f"{self._name}_back")
            self._failing = False
            self._pause = self._first_pause
