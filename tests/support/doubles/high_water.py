"""High-water marks in memory."""

from uuid import UUID

from application.log.high_water import Marks, MarksUnavailable, highest


class MemoryHighWaterMarks:
    """See `HighWaterMarks`; a test may set `away`, and change `logs`."""

    def __init__(self) -> None:
        self.logs: dict[UUID, Marks] = {}
        self.away = False

    async def read(self, log_id: UUID) -> Marks:
        self._check()
        return self.logs.get(log_id, {})

    async def raise_to(self, log_id: UUID, marks: Marks) -> None:
        self._check()
        self.logs[log_id] = highest([self.logs.get(log_id, {}), marks])

    def _check(self) -> None:
        if self.away:
            raise MarksUnavailable
