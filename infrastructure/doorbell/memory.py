"""A doorbell inside one process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from application.doorbell import Bell
from application.retry import raise_if_cancelled


class MemoryDoorbell:
    """Not thread-safe: `ring` is called only from the event loop's thread."""

    def __init__(self) -> None:
        self._bells: dict[str, set[_MemoryBell]] = {}

    def ring(self, name: str) -> None:
        for bell in self._bells.get(name, ()):
            bell.ring()

    def ring_all(self) -> None:
        """Ring all bells: it is not known which of them rang in the meantime."""
        for name in self._bells:
            self.ring(name)

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncGenerator[Bell]:
        bell = _MemoryBell()
        listeners = self._bells.setdefault(name, set())
        listeners.add(bell)
        try:
            yield bell
        finally:
            listeners.discard(bell)
            if not listeners:
                self._bells.pop(name, None)


class _MemoryBell:
    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        raise_if_cancelled()
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True
