"""`rollbook jobs`: list jobs; show or cancel one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import typer

from interfaces.cli.client.admin import print_answer, print_items, print_resource
from interfaces.cli.client.calls import Json, items_of, read_item
from interfaces.cli.client.client import Remote
from interfaces.cli.target.connection import find_rollbook

_JOBS: Final = "/v1/jobs"
_COLUMNS: Final = ("id", "kind", "state", "progress", "created_at")


def list_jobs(data_directory: Path, states: Sequence[str], limit: int, *, json: bool) -> None:
    """The newest jobs in these states, or in any. Raises what `find_rollbook` does, and `Refused`."""
    # One more shows that there are more.
    items = asyncio.run(_list(data_directory, states, limit + 1))
    print_items(
        items[:limit] if json else [_row(each) for each in items[:limit]], _COLUMNS, json=json
    )
    if len(items) > limit:
        typer.echo(f"rollbook: there are more than these {limit}: see --limit", err=True)


def show_job(data_directory: Path, job: str, *, json: bool) -> None:
    """All members of a job."""
    print_resource(asyncio.run(_show(data_directory, job)), json=json)


def cancel_job(data_directory: Path, job: str, *, json: bool) -> int:
    """Cancel a job; the exit code, 1 if the job had ended otherwise before."""
    found = print_answer(data_directory, f"{_path(job)}/cancel", {}, json=json)
    return 1 if found["state"] in ("succeeded", "failed") else 0


async def _list(data_directory: Path, states: Sequence[str], limit: int) -> list[Json]:
    asked = {"state": ",".join(states)} if states else {}
    async with find_rollbook(data_directory).client() as client:
        return await items_of(Remote(client), _JOBS, asked, limit=limit)


async def _show(data_directory: Path, job: str) -> Json:
    async with find_rollbook(data_directory).client() as client:
        return await read_item(Remote(client), _path(job))


def _path(job: str) -> str:
    return f"{_JOBS}/{quote(job, safe='')}"


def _row(job: Json) -> Json:
    """The job as a table shows it: the time to the minute, and the progress in units of the kind."""
    progress: dict[str, Any] = job["progress"]
    total = "" if progress["total"] is None else f" / {progress['total']}"
    shown = f"{progress['done']}{total}"
    return {**job, "progress": shown, "created_at": job["created_at"][:16]}
