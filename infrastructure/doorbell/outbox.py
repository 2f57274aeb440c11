"""Bells to send to other processes: repeated rings of a bell are merged."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from application.retry import BackOff

_MAX_BELLS: Final = 64


class Outbox:
    """A bell carries no content, so sending it twice does no harm."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._filled = asyncio.Event()

    def add(self, name: str) -> None:
        """Queue the bell; if the queue is full, it is dropped and listeners find it by polling."""
        if len(self._names) < _MAX_BELLS:
            self._names.add(name)
            self._filled.set()

    async def send_by(
        self, send: Callable[[list[str]], Awaitable[None]], *failures: type[Exception]
    ) -> NoReturn:
        """Send bells for ever; after a failure they are sent again."""
        back_off = BackOff("doorbell sender")
        while True:
            await self._filled.wait()
            self._filled.clear()
            names, self._names = self._names, set()
            try:
                await send(list(names))
                back_off.reset()
            except failures as error:
                self._names |= names
                self._filled.set()
                await back_off.wait(error)
