"""Commands on one stream run one after another inside a process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from application.errors import Overloaded

WAIT_SECONDS: Final = 1.5
MAX_WAITING: Final = 4096


class _Turn:
    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class StreamLocks:
    """Prevents version conflicts between commands on a busy stream.

    Correctness depends on the version check of the append; the locks only save work.
    """

    def __init__(self) -> None:
        self._turns: dict[UUID, _Turn] = {}
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, stream: UUID) -> AsyncGenerator[None]:
        """Lock the stream. Raises `Overloaded` if that takes longer than 1.5 s."""
        turn = self._turns.setdefault(stream, _Turn())
        turn.users += 1
        try:
            # Not `locked()`: after a release the lock looks free, but belongs to the next waiting task.
            if turn.users > 1:
                await self._wait(turn.lock)
            else:
                await turn.lock.acquire()
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[stream]

    async def _wait(self, lock: asyncio.Lock) -> None:
        if self._waiting >= MAX_WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await lock.acquire()
        except TimeoutError:
            raise Overloaded from None
        finally:
            self._waiting -= 1
