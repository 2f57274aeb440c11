"""Bells on their way to other processes: each waits once, however often it rang."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from structlog import get_logger

_MOST_BELLS: Final = 64
_FIRST_BACK_OFF: Final = 0.1
_LONGEST_BACK_OFF: Final = 2.0

log = get_logger(__name__)


class BackOff:
    """Pauses, each longer than the last, with jitter: who lost one server should not return as one."""

    def __init__(self) -> None:
        self._seconds = _FIRST_BACK_OFF

    @property
    def is_first(self) -> bool:
        """Whether nothing failed since it last worked."""
        return self._seconds == _FIRST_BACK_OFF

    async def wait(self) -> None:
        await asyncio.sleep(self._seconds * random.uniform(0.5, 1))  # noqa: S311
        self._seconds = min(self._seconds * 2, _LONGEST_BACK_OFF)

    def reset(self) -> None:
        self._seconds = _FIRST_BACK_OFF


class Outbox:
    """A bell says no more than that somebody should look, so sending it again does no harm."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._filled = asyncio.Event()

    def add(self, name: str) -> None:
        """Send the bell soon; one too many is dropped, which costs a listener's timed poll."""
        if len(self._names) < _MOST_BELLS:
            self._names.add(name)
            self._filled.set()

    async def send_by(
        self, send: Callable[[list[str]], Awaitable[None]], *failures: type[Exception]
    ) -> NoReturn:
        """Send for ever; what fails is sent again."""
        back_off = BackOff()
        while True:
            await self._filled.wait()
            self._filled.clear()
            names, self._names = self._names, set()
            try:
                await send(list(names))
                back_off.reset()
            except failures as error:
                if back_off.is_first:
                    log.warning("doorbell_mute", error=type(error).__name__)
                self._names |= names
                self._filled.set()
                await back_off.wait()
