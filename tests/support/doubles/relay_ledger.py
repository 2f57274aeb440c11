"""The in-memory ledger of the relay, for tests."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import asdict

from application.log.follower import NotLeading
from application.messaging.rejected import Rejected, RelayStatus
from application.messaging.relay import Progress, SetAside

_TIME: Final = datetime(2026, 3, 1, tzinfo=UTC)


class MemoryRelayLedger:
    """See `RelayLedger` and `RelayRecords`."""

    def __init__(self) -> None:
        self.position = 0
        self.set_aside: list[SetAside] = []
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[Progress]:
        """See `RelayLedger.lead`."""
        async with self._lock:
            yield _Progress(self)

    async def status(self) -> RelayStatus:
        """See `RelayRecords.status`."""
        return RelayStatus(
            position=self.position,
            head=self.position,
            lag=0,
            lag_seconds=0.0,
            rejected=len(self.set_aside),
            last_rejected_at=_TIME if self.set_aside else None,
            state="live" if self._lock.locked() else "stopped",
        )

    async def rejected(self, after: int, limit: int) -> Sequence[Rejected]:
        """See `RelayRecords.rejected`."""
        later = [each for each in self.set_aside if each.position > after]
        return [Rejected(**asdict(each), set_aside_at=_TIME) for each in later[:limit]]

    async def remove(self, positions: Sequence[int]) -> None:
        """See `RelayRecords.remove`."""
        self.set_aside = [each for each in self.set_aside if each.position not in positions]


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
