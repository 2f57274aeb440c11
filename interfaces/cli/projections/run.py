"""`rollbook projections`: list them; rebuild, roll back, verify, repair or pause one."""

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import quote

import typer

from interfaces.cli.client.admin import print_answer, print_list
from interfaces.cli.client.calls import Json, send_admin_command
from interfaces.cli.client.client import Remote
from interfaces.cli.client.job_command import run_job
from interfaces.cli.target.connection import find_rollbook

_STATUS: Final = ("name", "generation", "former", "state", "position", "lag_seconds", "parked")
_PARKED: Final = ("stream", "version", "type", "error", "events", "parked_at")


def list_projections(data_directory: Path, *, json: bool) -> None:
    """A table of all projections. Raises what `find_rollbook` does, and `Refused`."""
    print_list(data_directory, "/v1/projections", _STATUS, json=json)


def list_parked(data_directory: Path, name: str, *, json: bool) -> None:
    """A table of the streams that are parked for a projection."""
    print_list(data_directory, f"{_path(name)}/parked", _PARKED, json=json)


def admin_command(data_directory: Path, name: str, what: str, body: Json, *, json: bool) -> None:
    """Run an admin command on a projection, such as `pause` or `parked/<id>/retry`."""
    print_answer(data_directory, f"{_path(name)}/{what}", body, json=json)


def drop_projection(data_directory: Path, name: str) -> None:
    """Drop a projection that no release has. Raises what `find_rollbook` does, and `Refused`."""
    asyncio.run(_delete(data_directory, _path(name)))
    typer.echo(f"{name} is dropped: erasures do not wait for it any more")


def run_projection_job(
    data_directory: Path, name: str, what: str, body: Json, *, json: bool, detach: bool
) -> int:
    """Start a job for a projection and wait for it; the exit code.

    It is 0 if the job succeeded and its result is not wrong.
    """
    path, title = f"{_path(name)}/{what}", f"{what.rpartition('/')[2]} {name}"
    job = run_job(data_directory, path, body, title, json=json, detach=detach)
    is_right = job.state == "succeeded" and (job.result or {}).get("right", True)
    return 0 if is_right or detach else 1


async def _delete(data_directory: Path, path: str) -> None:
    async with find_rollbook(data_directory).client() as client:
        await send_admin_command(Remote(client), path, {}, method="DELETE")


def _path(name: str) -> str:
    return f"/v1/projections/{quote(name, safe='')}"
