"""Follows a job in the database to its end, and tells whoever waits where nobody does it."""

import asyncio
from typing import Final, Protocol

import msgspec
import typer

from application.errors import Unavailable
from application.jobs.model import FINISHED, Job, Jobs
from interfaces.cli.client import watch_job as watched_job
from interfaces.cli.errors import CommandFailed

POLL_SECONDS: Final = 0.5
# A worker that is there takes a job up within two seconds; one that is started anew, within these.
NOBODY_SECONDS: Final = 5.0
GIVE_UP_SECONDS: Final = 30.0


class NobodyWorks(CommandFailed):
    """No worker took the job up."""


class JobReport(Protocol):
    def show(self, job: watched_job.Job) -> None: ...


async def follow(
    jobs: Jobs,
    job: Job,
    report: JobReport,
    *,
    ask_after: float = NOBODY_SECONDS,
    timeout_seconds: float = GIVE_UP_SECONDS,
) -> Job:
    """The job once it is finished; it goes on without us, too.

    Says that no worker takes it up after `ask_after` seconds, and raises `NobodyWorks` after
    `timeout_seconds`; `Unavailable` where the database stays away for so long.
    """
    loop = asyncio.get_running_loop()
    began = heard = loop.time()
    is_said = False
    while True:
        report.show(msgspec.convert(msgspec.to_builtins(job), watched_job.Job))
        if job.state in FINISHED:
            return job
        if not job.attempts and loop.time() - began > timeout_seconds:
            raise NobodyWorks("no worker has taken the job up; it stays queued for the next one")
        if not job.attempts and not is_said and loop.time() - began > ask_after:
            is_said = True
            typer.echo("rollbook: no worker has taken the job up yet: does one run?", err=True)
        await asyncio.sleep(POLL_SECONDS)
        try:
            job = await jobs.job(job.id) or job
            heard = loop.time()
        except Unavailable:
            if loop.time() - heard > timeout_seconds:
                raise
