"""The in-memory ledger of the relay, for tests."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from application.log.follower import NotLeading
from application.messaging.relay import Progress, SetAside


class MemoryRelayLedger:
    """See `RelayLedger`."""

    def __init__(self) -> None:
        self.position = 0
        self.set_aside: list[SetAside] = []
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[Progress]:
        """See `RelayLedger.lead`."""
        async with self._lock:
            yield _Progress(self)


class _Progress:
    def __init__(self, ledger: MemoryRelayLedger) -> None:
        self._ledger = ledger
        self.position = ledger.position

    async def advance(self, reached: int, set_aside: Sequence[SetAside]) -> None:
        """See `Progress.advance`."""
        if self._ledger.position != self.position:
            raise NotLeading(NotLeading.__doc__)
        self._ledger.position = self.position = reached
        self._ledger.set_aside += set_aside
