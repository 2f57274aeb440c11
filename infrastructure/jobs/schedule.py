"""Scheduled jobs: all workers check the schedules, and one of them submits each job."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final, NoReturn, cast

from procrastinate import Blueprint
from procrastinate.periodic import PeriodicDeferrer
from structlog import get_logger

from application.errors import Unavailable
from application.jobs.model import JobKind
from application.retry import BackOff
from infrastructure.jobs.postgres import PostgresJobs

# No scheduled job competes with the start of a process, and a short-lived process submits none.
START_DELAY_SECONDS: Final = 60.0
# A job that was due while no worker ran is submitted once, if that is less than a day ago.
_MAX_DELAY_SECONDS: Final = 86400.0
# A changed clock, or a machine that slept, is noticed within this time.
_MAX_SLEEP_SECONDS: Final = 60.0
# Wake up slightly late rather than slightly early.
_MARGIN_SECONDS: Final = 0.5

log = get_logger(__name__)


async def run_schedules(
    kinds: Iterable[JobKind], jobs: PostgresJobs, *, start_delay: float = START_DELAY_SECONDS
) -> NoReturn:
    """Submit each kind with a schedule when it is due, unless its last scheduled job still runs.

    Raises `ValueError` for an invalid schedule.
    """
    timetable = Timetable(kinds)
    await asyncio.sleep(start_delay)
    while True:
        now = time.time()
        for kind, timestamp in timetable.due(now):
            await _submit(jobs, kind, timestamp)
        await asyncio.sleep(min(timetable.next(now) + _MARGIN_SECONDS, _MAX_SLEEP_SECONDS))


class Timetable:
    """When kinds are due, in UTC, as procrastinate calculates it."""

    def __init__(self, kinds: Iterable[JobKind]) -> None:
        blueprint = Blueprint()
        for kind in kinds:
            if kind.schedule is not None:
                task = blueprint.task(name=kind.name)(_placeholder)
                blueprint.periodic(cron=kind.schedule)(task)
        registry = blueprint.periodic_registry
        # Its types describe tasks with arguments that procrastinate runs; these are placeholders.
        self._deferrer = cast("Any", PeriodicDeferrer(registry, _MAX_DELAY_SECONDS))
        for periodic in self._deferrer.registry.periodic_tasks.values():
            _ = periodic.croniter

    def due(self, now: float) -> list[tuple[str, int]]:
        """Kinds and the Unix times at which they were due since the last call.

        The first call returns each kind's last due time, if that is less than a day ago.
        """
        return [(due.task.name, at) for due, at in self._deferrer.get_previous_tasks(now)]

    def next(self, now: float) -> float:
        """The seconds until the next kind is due."""
        if not self._deferrer.registry.periodic_tasks:
            return _MAX_SLEEP_SECONDS
        return self._deferrer.get_next_tick(now)


async def _submit(jobs: PostgresJobs, kind: str, timestamp: int) -> None:
    back_off = BackOff("schedules")
    while True:
        try:
            submitted = await jobs.submit_scheduled(kind, timestamp)
        except Unavailable as error:
            await back_off.wait(error)
        else:
            break
    if submitted:
        log.info("job_scheduled", kind=kind)


async def _placeholder(timestamp: int) -> None:
    raise NotImplementedError("procrastinate only calculates times and runs no task")
