"""`rollbook verify --schemas`: whether this release can read all stored events."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from application.errors import Unavailable
from application.log.schemas import StoredSchema
from infrastructure.database import Database
from infrastructure.event_store.schemas import stored_schemas
from infrastructure.server_checks import check_schema
from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.database import find_database


def verify_schemas(data_directory: Path, *, json: bool) -> int:
    """Count the stored events by type and version: the exit code, 1 if any cannot be read.

    Raises `CommandFailed`, `UnsuitableServer` or `WrongSetting`.
    """
    found = asyncio.run(_stored(find_database(data_directory)))
    if json:
        for schema in found:
            line = {**msgspec.to_builtins(schema), "readable": schema.is_readable}
            typer.echo(msgspec.json.encode(line))
    else:
        _show(found)
    return 0 if all(schema.is_readable for schema in found) else 1


async def _stored(url: str) -> Sequence[StoredSchema]:
    await check_schema(url)
    try:
        async with Database.open(url, size=1) as database:
            return await stored_schemas(database)
    except Unavailable:
        raise CommandFailed("the database does not answer") from None


def _show(found: Sequence[StoredSchema]) -> None:
    table = Table("Type", "Version", "Events", "")
    for schema in found:
        table.add_row(
            Text(schema.topic),
            Text(str(schema.version), justify="right"),
            Text(f"{schema.events:,}", justify="right"),
            "" if schema.is_readable else Text("cannot be read", style="red"),
        )
    console = Console(soft_wrap=True, highlight=False)
    if found:
        console.print(table)
    total = sum(schema.events for schema in found)
    lost = sum(schema.events for schema in found if not schema.is_readable)
    console.print(
        f"{total:,} events; {lost:,} of them cannot be read by this release: "
        "a newer one wrote them."
        if lost
        else f"{total:,} events: all can be read by this release."
    )
