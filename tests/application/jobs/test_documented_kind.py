"""The kind of job that docs/jobs.md adds works as it is printed."""

from collections.abc import AsyncGenerator
from typing import Any

from msgspec import Struct
from uuid_utils.compat import uuid7

from application.jobs.model import JobKind, JobRun, Progress
from tests.support.documents import listing
from tests.support.doubles.jobs import InMemoryJobs


class Batch(Struct):
    rows: int
    total: int


class Counts:
    async def again(self) -> AsyncGenerator[Batch]:
        for rows in (3, 2):
            yield Batch(rows, 5)


async def test_the_printed_kind_of_job_runs_and_reports_its_progress() -> None:
    names: dict[str, Any] = {"Any": Any, "Counts": Counts, "JobKind": JobKind, "JobRun": JobRun}
    exec(compile(listing("jobs.md", "python"), "jobs.md", "exec"), names)
    jobs = InMemoryJobs(uuid7, names["recount_jobs"](Counts()))
    job = await jobs.submit("recount", {}, actor="token:admin", once="all")
    await jobs.run_queued()
    ended = await jobs.job(job.id)
    assert ended is not None
    assert (ended.state, ended.result) == ("succeeded", {"rows": 5})
    assert ended.progress == Progress(done=5, total=5, rate=ended.progress.rate)
