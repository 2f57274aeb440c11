"""Jobs by the clock: every worker looks, and the database lets one of them submit each."""

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

# Starting has the machine to itself, and who runs for a moment only begins nothing.
SETTLED_SECONDS: Final = 60.0
# What no worker was there to submit is made up for, once, within a day.
_LATEST_SECONDS: Final = 86400.0
# A clock that is set, or a machine that slept, is noticed within this time.
_LONGEST_SLEEP: Final = 60.0
# A moment late rather than a moment early.
_MARGIN_SECONDS: Final = 0.5

log = get_logger(__name__)


async def run_schedules(
    kinds: Iterable[JobKind], jobs: PostgresJobs, *, settled: float = SETTLED_SECONDS
) -> NoReturn:
    """Submit each kind that has a schedule when its time has come, unless its last job still runs.

    Raises `ValueError` for a schedule that is none.
    """
    timetable = Timetable(kinds)
    await asyncio.sleep(settled)
    while True:
        now = time.time()
        for kind, timestamp in timetable.due(now):
            await _submit(jobs, kind, timestamp)
        await asyncio.sleep(min(timetable.next(now) + _MARGIN_SECONDS, _LONGEST_SLEEP))


class Timetable:
    """When kinds are due, in UTC, by procrastinate's reckoning."""

    def __init__(self, kinds: Iterable[JobKind]) -> None:
        blueprint = Blueprint()
        for kind in kinds:
            if kind.schedule is not None:
                task = blueprint.task(name=kind.name)(_placeholder)
                blueprint.periodic(cron=kind.schedule)(task)
        registry = blueprint.periodic_registry
        # Its types are those of tasks that have arguments and are run, which these are not.
        self._deferrer = cast("Any", PeriodicDeferrer(registry, _LATEST_SECONDS))
        for periodic in self._deferrer.registry.periodic_tasks.values():
            _ = periodic.croniter

    def due(self, now: float) -> list[tuple[str, int]]:
        """Kinds and the Unix times at which they were due since the last call.

        The first time, their last one each, where that is less than a day ago.
        """
        return [(due.task.name, at) for due, at in self._deferrer.get_previous_tasks(now)]

    def next(self, now: float) -> float:
        """The seconds until some kind is due."""
        if not self._deferrer.registry.periodic_tasks:
            return _LONGEST_SLEEP
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
    raise NotImplementedError("procrastinate reckons, and runs nothing")
