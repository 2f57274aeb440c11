"""The daily clean-up: what was replaced or deleted leaves the tables that hold people's data."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from application.jobs import JobKind, JobRun

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
