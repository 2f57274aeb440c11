"""Leaves a server alone for a while after it failed, so that nobody waits for it in vain."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, TypeVar

from redis.exceptions import RedisError
from structlog import get_logger

T = TypeVar("T")

# A cache that is slower than the database is none.
TIMEOUT_SECONDS: Final = 0.1
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0

log = get_logger(__name__)


class CircuitBreaker:
    """Lets work through until it fails; then none for a pause that grows with each failure.

    The first work after a pause is the probe: its success brings everything back.
    """

    def __init__(
        self, first_pause: float = FIRST_PAUSE, clock: Callable[[], float] = monotonic
    ) -> None:
        self._first_pause = first_pause
        self._clock = clock
        self._pause = first_pause
        self._closed_from = 0.0
        self._failing = False

    @property
    def is_open(self) -> bool:
        """Whether work is turned away now."""
        return self._failing and self._clock() < self._closed_from

    async def attempt(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """What the work comes to; None where it is turned away, fails or takes too long."""
        if self.is_open:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                result = await work()
        except (RedisError, OSError) as error:
            self._trip(error)
            return None
        self._mend()
        return result

    def _trip(self, error: Exception) -> None:
        if self.is_open:
            # Others who were under way failed with the first one.
            return
        if not self._failing:
            log.warning("cache_away", error=type(error).__name__)
        self._failing = True
        self._closed_from = self._clock() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _mend(self) -> None:
        if self._failing and not self.is_open:
            log.info("cache_back")
            self._failing = False
            self._pause = self._first_pause
