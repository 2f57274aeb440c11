"""The hourly purge: what is kept for a while only leaves the database, a few rows at a time."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final, Protocol

from application.jobs.model import JobKind, JobRun

CLEAN_UP: Final = "clean-up"
# At night in Europe, and not on the hour, when everybody's jobs begin.
_DAILY: Final = "23 2 * * *"


class Housekeeping(Protocol):
    """The tables that hold or held people's data, sealed or not."""

    async def tables(self) -> Sequence[str]:
        """Their names. Raises `Unavailable`."""
        ...

    async def vacuum(self, table: str) -> None:
        """Remove dead rows and what leads to them, and sample the others anew.

        Readers and writers go on. Raises `Unavailable`.
        """
        ...


def clean_up_jobs(housekeeping: Housekeeping) -> JobKind:
    """The job of each night, which erasures rely on: they leave dead rows behind."""

    async def run(job: JobRun) -> dict[str, Any]:
        tables = await housekeeping.tables()
        for done, table in enumerate(tables):
            await job.report(done, len(tables))
            await housekeeping.vacuum(table)
        return {"tables": list(tables)}

    return JobKind(name=CLEAN_UP, run=run, schedule=_DAILY)


PURGE: Final = "purge"

RECEIPTS_ARE_KEPT: Final = timedelta(hours=24)
EXPORTS_ARE_KEPT: Final = timedelta(hours=24)
JOBS_ARE_KEPT: Final = timedelta(days=30)

# Not on the hour, when everybody's jobs begin.
_HOURLY: Final = "17 * * * *"


class ShortLived(Protocol):
    """Rows that are kept for a while only."""

    @property
    def name(self) -> str:
        """What they are, in the plural."""
        ...

    def remove_old(self) -> AsyncGenerator[int]:
        """Remove those whose time is over in short transactions; the rows removed by each.

        Raises `Unavailable`.
        """
        ...


def purge_jobs(stores: Sequence[ShortLived]) -> JobKind:
    """The job of each hour; its progress counts rows removed, its result those of each kind."""

    async def run(job: JobRun) -> dict[str, Any]:
        removed = {store.name: 0 for store in stores}
        for store in stores:
            async with aclosing(store.remove_old()) as steps:
                async for rows in steps:
                    removed[store.name] += rows
                    await job.report(sum(removed.values()))
        return removed

    return JobKind(name=PURGE, run=run, schedule=_HOURLY)
