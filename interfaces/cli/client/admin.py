"""What command groups for administrators share: print a list, send a command and print its answer."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table

from interfaces.cli.client.calls import Json, items_of, send_admin_command
from interfaces.cli.client.client import Remote
from interfaces.cli.client.job_command import print_members
from interfaces.cli.target.connection import find_rollbook


def print_list(data_directory: Path, path: str, columns: Sequence[str], *, json: bool) -> None:
    """All pages of a list, as a table or as JSON lines. Raises what `find_rollbook` does, and `Refused`."""
    print_items(asyncio.run(_items(data_directory, path)), columns, json=json)


def print_items(items: Sequence[Json], columns: Sequence[str], *, json: bool) -> None:
    """A table of these columns, or each item as a JSON line."""
    if json:
        for item in items:
            typer.echo(msgspec.json.encode(item))
        return
    first, *others = columns
    # The name or id is for other commands, so it stays in one piece; nothing is left out.
    table = Table(Column(first, no_wrap=True), *(Column(each, overflow="fold") for each in others))
    for item in items:
        table.add_row(*(_cell(item.get(column)) for column in columns))
    Console().print(table)


def print_answer(data_directory: Path, path: str, body: Mapping[str, Any], *, json: bool) -> Json:
    """Send an administrative command, and return what it answered too. Raises what `find_rollbook`
    does, and `Refused`.
    """
    answer = asyncio.run(_send(data_directory, path, dict(body)))
    print_resource(answer, json=json)
    return answer


def print_resource(resource: Json, *, json: bool) -> None:
    """Its members, each on a line, or all as a JSON line."""
    if json:
        typer.echo(msgspec.json.encode(resource))
    else:
        print_members(resource)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[Any]", value)))
    return "" if value is None else str(value)


async def _items(data_directory: Path, path: str) -> list[Json]:
    async with find_rollbook(data_directory).client() as client:
        return await items_of(Remote(client), path)


async def _send(data_directory: Path, path: str, body: Json) -> Json:
    async with find_rollbook(data_directory).client() as client:
        return (await send_admin_command(Remote(client), path, body)).read(Json)
