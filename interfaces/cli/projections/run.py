"""`rollbook projections`: list them; rebuild, roll back, verify, repair or pause one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from interfaces.cli.client.calls import Json, items_of, send_admin_command, wait_for_job
from interfaces.cli.client.client import Remote
from interfaces.cli.client.watch_job import Job, JobReport, JsonJobReport, TerminalJobReport
from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.connection import find_rollbook


def list_projections(data_directory: Path, *, json: bool) -> None:
    """A table of all projections. Raises what `find_rollbook` does, and `Refused`."""
    items = asyncio.run(_items(data_directory, "/v1/projections"))
    _print(items, ("name", "generation", "state", "position", "lag", "lag_seconds", "parked"), json)


def list_parked(data_directory: Path, name: str, *, json: bool) -> None:
    """A table of the streams that are parked for a projection."""
    items = asyncio.run(_items(data_directory, f"{_path(name)}/parked"))
    _print(items, ("stream", "version", "type", "error", "events", "parked_at"), json)


def admin_command(data_directory: Path, name: str, what: str, body: Json, *, json: bool) -> None:
    """Run an admin command on a projection, such as `pause` or `parked/<id>/retry`."""
    answer = asyncio.run(_send(data_directory, f"{_path(name)}/{what}", body))
    if json:
        typer.echo(msgspec.json.encode(answer))
    else:
        _print_members(answer)


def run_job(
    data_directory: Path, name: str, what: str, body: Json, *, json: bool, detach: bool
) -> int:
    """Start a job for a projection and wait for it; the exit code.

    It is 0 if the job succeeded and its result is not wrong. With `detach` the command does not
    wait. The job continues at the server if this process ends.
    """
    report = JsonJobReport() if json else TerminalJobReport(f"{what} {name}")
    try:
        path = f"{_path(name)}/{what}"
        job = asyncio.run(_job(data_directory, path, body, report, watch=not detach))
    except KeyboardInterrupt:
        raise CommandFailed("the job continues; the same command follows it again") from None
    if not json:
        _print_job(job)
    is_right = job.state == "succeeded" and (job.result or {}).get("right", True)
    return 0 if is_right or detach else 1


async def _items(data_directory: Path, path: str) -> list[Json]:
    async with find_rollbook(data_directory).client() as client:
        return await items_of(Remote(client), path)


async def _send(data_directory: Path, path: str, body: Json) -> Json:
    async with find_rollbook(data_directory).client() as client:
        return (await send_admin_command(Remote(client), path, body)).read(Json)


async def _job(
    data_directory: Path, path: str, body: Json, report: JobReport, *, watch: bool
) -> Job:
    async with find_rollbook(data_directory).client() as client:
        remote = Remote(client)
        job = (await send_admin_command(remote, path, body)).read(Job)
        return await wait_for_job(remote, job, report) if watch else job


def _path(name: str) -> str:
    return f"/v1/projections/{quote(name, safe='')}"


def _print(items: Sequence[Json], columns: Sequence[str], json: bool) -> None:
    if json:
        for item in items:
            typer.echo(msgspec.json.encode(item))
        return
    table = Table(*columns)
    for item in items:
        table.add_row(*(str(item.get(column)) for column in columns))
    Console().print(table)


def _print_members(members: Json) -> None:
    for name, value in members.items():
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        typer.echo(f"{name}: {shown}")


def _print_job(job: Job) -> None:
    typer.echo(f"job {job.id}: {job.state}")
    if job.error is not None and job.state != "succeeded":
        typer.echo(f"error: {job.error}")
    if job.result is not None:
        _print_members(job.result)
