"""`rollbook relay status` and `rollbook relay replay`."""

import asyncio
from pathlib import Path
from typing import Final

import msgspec
import typer

from interfaces.cli.client.calls import Json, read_item
from interfaces.cli.client.client import Remote
from interfaces.cli.client.job_command import print_members, run_job
from interfaces.cli.target.connection import find_rollbook

_RELAY: Final = "/v1/relay"


def show_status(data_directory: Path, *, json: bool) -> None:
    """Print how far the relay is. Raises what `find_rollbook` does, and `Refused`."""
    status = asyncio.run(_status(data_directory))
    if json:
        typer.echo(msgspec.json.encode(status))
    else:
        print_members(status)


def replay(data_directory: Path, *, json: bool, detach: bool) -> int:
    """Publish the events that were set aside again; the exit code, 1 if some were not sent."""
    path = f"{_RELAY}/rejected/replay"
    job = run_job(data_directory, path, {}, "relay replay", json=json, detach=detach)
    result = job.result or {}
    is_sent = job.state == "succeeded" and not (result["refused"] or result["unreadable"])
    return 0 if is_sent or detach else 1


async def _status(data_directory: Path) -> Json:
    async with find_rollbook(data_directory).client() as client:
        return await read_item(Remote(client), _RELAY)
