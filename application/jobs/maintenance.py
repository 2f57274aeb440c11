"""Maintenance jobs: the daily clean-up, and the hourly purge of rows past their retention."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final, Protocol

from application.jobs.model import JobKind, JobRun

CLEAN_UP: Final = "clean-up"
# At night in Europe, and not on the hour, when many other jobs begin.
_DAILY: Final = "23 2 * * *"


class Housekeeping(Protocol):
    """The tables with personal data, sealed or not."""

    async def tables(self) -> Sequence[str]:
        """Their names. Raises `Unavailable`."""
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


PURGE: Final = "purge"

RECEIPT_RETENTION: Final = timedelta(hours=24)
EXPORT_RETENTION: Final = timedelta(hours=24)
JOB_RETENTION: Final = timedelta(days=30)

# Not on the hour, when many other jobs begin.
_HOURLY: Final = "17 * * * *"


class ShortLived(Protocol):
    """Rows with a limited retention."""

    @property
    def name(self) -> str:
        """The name of the rows, in the plural."""
        ...

    def remove_old(self) -> AsyncGenerator[int]:
        """Remove expired rows in short transactions; yields the number of rows of each.

        Raises `Unavailable`.
        """
        ...


def purge_jobs(stores: Sequence[ShortLived]) -> JobKind:
    """The hourly job; its progress counts removed rows, its result has the counts by kind."""

    async def run(job: JobRun) -> dict[str, Any]:
        removed = {store.name: 0 for store in stores}
        for store in stores:
            async with aclosing(store.remove_old()) as steps:
                async for rows in steps:
                    removed[store.name] += rows
                    await job.report(sum(removed.values()))
        return removed

    return JobKind(name=PURGE, run=run, schedule=_HOURLY)
