"""Follows a job in the database to its end, and warns if no worker takes it."""

import asyncio
from typing import Final

import msgspec
import typer

from application.errors import Unavailable
from application.jobs.model import FINISHED, Job, Jobs
from interfaces.cli.client import watch_job as watched_job
from interfaces.cli.errors import CommandFailed

POLL_SECONDS: Final = 0.5
# A running worker takes a job within two seconds; a worker that restarts, within this time.
NO_WORKER_SECONDS: Final = 5.0
GIVE_UP_SECONDS: Final = 30.0


class NoWorker(CommandFailed):
    """No worker took the job."""


async def follow(
    jobs: Jobs,
    job: Job,
    report: watched_job.JobReport,
    *,
    warn_after: float = NO_WORKER_SECONDS,
    timeout_seconds: float = GIVE_UP_SECONDS,
) -> Job:
    """The job once it is finished; it continues if this process ends.

    Warns if no worker takes it within `warn_after` seconds. Raises `NoWorker` after
    `timeout_seconds`, and `Unavailable` if the database does not answer for so long.
    """
    loop = asyncio.get_running_loop()
    began = last_answer = loop.time()
    has_warned = False
    while True:
        report.show(msgspec.convert(msgspec.to_builtins(job), watched_job.Job))
        if job.state in FINISHED:
            return job
        if not job.attempts and loop.time() - began > timeout_seconds:
            raise NoWorker("no worker has taken the job; it stays queued for the next one")
        if not job.attempts and not has_warned and loop.time() - began > warn_after:
            has_warned = True
            typer.echo("rollbook: no worker has taken the job yet: is one running?", err=True)
        await asyncio.sleep(POLL_SECONDS)
        try:
            job = await jobs.job(job.id) or job
            last_answer = loop.time()
        except Unavailable:
            if loop.time() - last_answer > timeout_seconds:
                raise
