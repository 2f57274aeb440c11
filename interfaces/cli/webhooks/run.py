"""`rollbook webhooks`: list webhooks, and send commands to them."""

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from interfaces.cli.client.calls import Json, items_of, send_admin_command
from interfaces.cli.client.client import Remote
from interfaces.cli.client.job_command import print_members
from interfaces.cli.target.connection import find_rollbook

_WEBHOOKS: Final = "/v1/webhooks"
_COLUMNS: Final = ("id", "url", "status", "position", "lag", "parked", "last_success_at")


def list_webhooks(data_directory: Path, *, json: bool) -> None:
    """A table of all webhooks. Raises what `find_rollbook` does, and `Refused`."""
    items = asyncio.run(_items(data_directory))
    if json:
        for item in items:
            typer.echo(msgspec.json.encode(item))
        return
    table = Table(*_COLUMNS)
    for item in items:
        table.add_row(*("" if item[name] is None else str(item[name]) for name in _COLUMNS))
    Console().print(table)


def send_command(data_directory: Path, what: str, body: Json, *, json: bool) -> None:
    """Create a webhook (`what` is empty), or send a command such as `<id>/pause`.

    Prints the webhook after it. Raises what `find_rollbook` does, and `Refused`.
    """
    path = f"{_WEBHOOKS}/{quote(what)}" if what else _WEBHOOKS
    answer = asyncio.run(_sent(data_directory, path, body))
    if json:
        typer.echo(msgspec.json.encode(answer))
        return
    print_members(answer)
    if what == "":
        typer.echo("Keep the secret now: it is not shown again.", err=True)


async def _items(data_directory: Path) -> list[Json]:
    async with find_rollbook(data_directory).client() as client:
        return await items_of(Remote(client), _WEBHOOKS)


async def _sent(data_directory: Path, path: str, body: Json) -> Json:
    async with find_rollbook(data_directory).client() as client:
        return (await send_admin_command(Remote(client), path, body)).read(Json)
