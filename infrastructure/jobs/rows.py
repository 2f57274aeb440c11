"""Converts rows of the table `jobs` to jobs."""

from collections.abc import Sequence
from typing import Any, Final

from application.jobs.model import Job
from application.jobs.runs import progress_of

COLUMNS: Final = """id, kind, state, arguments, actor, done, total, rate, result, error, attempts,
    created_at, started_at, finished_at"""

# The doorbell's channel: the bell rings in every process when the transaction commits.
RING: Final = "SELECT pg_notify('rollbook', 'jobs')"


def job_of(row: Sequence[Any]) -> Job:
    """The job of a row with these columns."""
    done, total, rate = row[5:8]
    return Job(
        id=row[0],
        kind=row[1],
        state=row[2],
        arguments=row[3],
        actor=row[4],
        progress=progress_of(done, total, rate, running=row[2] == "running"),
        result=row[8],
        error=row[9],
        attempts=row[10],
        created_at=row[11],
        started_at=row[12],
        finished_at=row[13],
    )
