"""Maintenance jobs: the daily clean-up, and the hourly purge of rows past their retention."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol

from application.jobs.model import JobKind, JobRun

CLEAN_UP: Final = "clean-up"
PURGE: Final = "purge"
# At night in Europe. Neither is on the hour, when many other jobs begin.
_DAILY: Final = "23 2 * * *"
_HOURLY: Final = "17 * * * *"


class Housekeeping(Protocol):
    """The rows that expire, and the tables with personal data, sealed or not."""

    def purge(self) -> AsyncGenerator[tuple[str, int]]:
        """Remove expired rows in short transactions.

        Yields the name of the rows and their number for each, at least one for each name. Raises
        `Unavailable`.
        """
        ...

    async def tables(self) -> Sequence[str]:
        """The names of the tables with personal data. Raises `Unavailable`."""
        ...

    async def vacuum(self, table: str) -> None:
        """Remove dead rows and their index entries, and renew the planner statistics.

        Does not block readers and writers. Raises `Unavailable`.
        """
        ...


def clean_up_jobs(housekeeping: Housekeeping) -> JobKind:
    """The nightly job. Erasures rely on it, because they leave dead rows."""

    async def run(job: JobRun) -> dict[str, Any]:
        tables = await housekeeping.tables()
        for done, table in enumerate(tables):
            await job.report(done, len(tables))
            await housekeeping.vacuum(table)
        return {"tables": list(tables)}

    return JobKind(name=CLEAN_UP, run=run, schedule=_DAILY)


def purge_jobs(housekeeping: Housekeeping) -> JobKind:
    """The hourly job; its progress counts removed rows, its result has the counts by name."""

    async def run(job: JobRun) -> dict[str, Any]:
        removed: dict[str, int] = {}
        async with aclosing(housekeeping.purge()) as steps:
            async for name, rows in steps:
                removed[name] = removed.get(name, 0) + rows
                await job.report(sum(removed.values()))
        return removed

    return JobKind(name=PURGE, run=run, schedule=_HOURLY)
