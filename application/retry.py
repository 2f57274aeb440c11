"""Retries with back-off, and the log messages about them."""

import asyncio
import random
from typing import Final

from structlog import get_logger

from application.failures import describe


def raise_if_cancelled() -> None:
    """Raise a cancellation of this task that was lost; else the process would never end.

    `asyncio.wait_for` before Python 3.12, which client libraries use, loses a cancellation that
    comes at the moment of the result. So each loop that waits calls this before it waits again.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


_FIRST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 2.0

log = get_logger(__name__)


class BackOff:
    """Waits longer each time; logs the first failure and the recovery."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failing: str | None = None
        self._seconds = _FIRST_SECONDS

    async def wait(self, error: Exception) -> None:
        raise_if_cancelled()
        if self._failing != type(error).__name__:
            self._failing = type(error).__name__
            log.warning("follower_waits", follower=self._name, error=describe(error))
        # Jitter, so that processes that lost a server do not all reconnect at once.
        await asyncio.sleep(self._seconds * random.uniform(0.5, 1))  # noqa: S311
        self._seconds = min(self._seconds * 2, _LONGEST_SECONDS)

    def reset(self) -> None:
        if self._failing is not None:
            log.info("follower_goes_on", follower=self._name)
            self._failing = None
        self._seconds = _FIRST_SECONDS
