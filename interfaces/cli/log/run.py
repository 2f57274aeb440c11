"""`rollbook log break`: record a break of the log by hand."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import typer
from msgspec import Struct

from application.errors import Unavailable
from infrastructure.event_store.identity import LogIdentity
from infrastructure.event_store.opening import RestoreUnfinished, reopen_log
from infrastructure.server_checks import check_schema
from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.data_directory import DataDirectory
from interfaces.cli.target.database import find_database
from interfaces.composition.high_water import open_marks
from interfaces.logging import configure_logging
from interfaces.settings import LocalSettings, load


class BreakNotRecorded(CommandFailed):
    """There is no log that could be broken, or it does not answer."""


class _Recorded(Struct, frozen=True):
    epoch: int
    last_valid: int
    first_new: int


def break_log(data_directory: Path, *, beyond: int, json: bool) -> None:
    """Record a break, and print it; new positions are above `beyond` as well.

    Raises `BreakNotRecorded`, `UnsuitableServer`, `NoRollbook` or `WrongSetting`.
    """
    configure_logging("error")
    redis = load(LocalSettings).redis_url
    redis_url = None if redis is None else redis.get_secret_value()
    file = DataDirectory(data_directory).high_water_file if data_directory.is_dir() else None
    identity = asyncio.run(_break(find_database(data_directory), redis_url, file, beyond))
    cut = identity.breaks[-1]
    if json:
        recorded = _Recorded(identity.epoch, cut.last_valid, cut.first_new)
        typer.echo(msgspec.json.encode(recorded).decode())
        return
    typer.echo(
        f"Epoch {identity.epoch} begins: new events have positions from {cut.first_new} on. Readers "
        f"above {cut.last_valid} are sent back to it. Running processes restart in a few seconds."
    )


async def _break(url: str, redis_url: str | None, file: Path | None, beyond: int) -> LogIdentity:
    await check_schema(url)
    async with AsyncExitStack() as stack:
        marks = await open_marks(stack, redis_url, file)
        try:
            identity = await reopen_log(url, marks, beyond=beyond)
        except RestoreUnfinished as error:
            raise BreakNotRecorded(str(error)) from None
        except Unavailable:
            raise BreakNotRecorded("the database does not answer") from None
    if identity is None:
        raise BreakNotRecorded("the database holds no log yet")
    return identity
