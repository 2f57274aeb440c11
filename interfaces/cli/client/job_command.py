"""Commands that start a job at a Rollbook, wait for it, and print what it did."""

import asyncio
from pathlib import Path

import msgspec
import typer

from interfaces.cli.client.calls import Json, send_admin_command, wait_for_job
from interfaces.cli.client.client import Remote
from interfaces.cli.client.watch_job import Job, JobReport, JsonJobReport, TerminalJobReport
from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.connection import find_rollbook


def run_job(
    data_directory: Path, path: str, body: Json, title: str, *, json: bool, detach: bool
) -> Job:
    """The job that a command starts, at its end; with `detach` the command does not wait.

    The job continues at the server if this process ends. Raises what `find_rollbook` does, and
    `Refused`.
    """
    report = JsonJobReport() if json else TerminalJobReport(title)
    try:
        job = asyncio.run(_job(data_directory, path, body, report, watch=not detach))
    except KeyboardInterrupt:
        raise CommandFailed("the job continues; the same command follows it again") from None
    if not json:
        _print_job(job)
    return job


def print_members(members: Json) -> None:
    """Each member of a JSON object on a line."""
    for name, value in members.items():
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        typer.echo(f"{name}: {shown}")


async def _job(
    data_directory: Path, path: str, body: Json, report: JobReport, *, watch: bool
) -> Job:
    async with find_rollbook(data_directory).client() as client:
        remote = Remote(client)
        job = (await send_admin_command(remote, path, body)).read(Job)
        return await wait_for_job(remote, job, report) if watch else job


def _print_job(job: Job) -> None:
    typer.echo(f"job {job.id}: {job.state}")
    if job.error is not None and job.state != "succeeded":
        typer.echo(f"error: {job.error}")
    if job.result is not None:
        print_members(job.result)
