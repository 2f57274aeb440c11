"""Finds the runs of dead workers, and those whose entry was lost, and queues them again."""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final, NoReturn, Protocol
from uuid import UUID

from msgspec import Struct
from procrastinate.jobs import Status
from procrastinate.manager import JobManager
from structlog import get_logger

from application.errors import Unavailable
from application.jobs.runs import Timing
from application.retry import BackOff, raise_if_cancelled

# Work that crashes its worker is not retried for ever.
MAX_LOSSES: Final = 5

log = get_logger(__name__)


class Lost(Struct, frozen=True):
    """A run that no worker will do or end; `dead`: this is certain."""

    id: UUID
    entry: int
    attempt: int
    dead: bool | None


class LostRuns(Protocol):
    """The store of runs of one kind of work. Each method raises `Unavailable`."""

    async def lost(self, stalled: float) -> Sequence[Lost]:
        """The runs that no worker will do or end, if those silent for `stalled` seconds are dead."""
        ...

    async def revive(self, lost: Lost) -> bool:
        """Let another worker do a lost run, unless one does already; True if this ended a run."""
        ...


class Sweep:
    """Looks for lost runs; `stores` are by the task of their entries."""

    def __init__(self, stores: Mapping[str, LostRuns], manager: JobManager, timing: Timing) -> None:
        self._stores = stores
        self._manager = manager
        self._timing = timing

    async def run(self) -> NoReturn:
        """Look for ever; cancel it to stop. Raises an error that a retry cannot solve."""
        back_off = BackOff("worker")
        seen = frozenset[tuple[str, Lost]]()
        # After an outage, or a freeze of this process, each worker has time for a heartbeat.
        last, connected_since = monotonic(), monotonic()
        while True:
            raise_if_cancelled()
            await asyncio.sleep(self._timing.sweep)
            try:
                now = monotonic()
                if now > last + self._timing.sweep + self._timing.stalled / 2:
                    connected_since = now
                can_judge = now - connected_since >= self._timing.stalled
                found = frozenset(
                    [
                        (task, lost)
                        for task, store in self._stores.items()
                        for lost in await store.lost(self._timing.stalled)
                    ]
                )
                for task, lost in found:
                    is_certain = can_judge if lost.dead else (task, lost) in seen
                    if is_certain and await self._stores[task].revive(lost):
                        log.warning("job_revived", job=str(lost.id))
                if can_judge:
                    await self._drop_stalled()
            except Unavailable as error:
                await back_off.wait(error)
            else:
                back_off.reset()
                seen, last = found, monotonic()

    async def _drop_stalled(self) -> None:
        """Delete the entries that dead workers left; their runs have new ones."""
        stalled = await self._manager.get_stalled_jobs(seconds_since_heartbeat=self._timing.stalled)
        for entry in stalled:
            if entry.task_name in self._stores:
                await self._manager.finish_job(entry, Status.ABORTED, delete_job=True)
            else:
                await self._manager.retry_job(entry)
