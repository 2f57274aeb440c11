"""`rollbook keys`: list the master keys, add one, and rotate to the newest."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import typer
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from application.jobs.model import Job
from application.keys.rotation import KEY_ROTATION
from infrastructure.database import Database
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.keys import MasterKeys
from infrastructure.keys.store import open_key_store
from infrastructure.server_checks import check_schema
from interfaces.cli.client.follow_job import follow
from interfaces.cli.client.watch_job import JobReport, JsonJobReport, TerminalJobReport
from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.data_directory import DataDirectory
from interfaces.cli.target.database import find_database, find_master_keys
from interfaces.settings import LocalSettings, WrongSetting, load

ACTOR: Final = "system:cli"


class KeysUnavailable(CommandFailed):
    """The keys cannot be read from the database."""


class KeyRow(Struct, frozen=True, kw_only=True):
    """A master key: its place in the list from 1 (None: not listed), and how many keys it wraps.

    New keys are wrapped under the one that is `current`.
    """

    id: str
    place: int | None
    keys: int
    current: bool


def add_key(data_directory: Path) -> None:
    """Put a new master key before the stored ones of the data directory.

    Raises `WrongSetting` if a setting replaces the file, or `MasterKeyUnreadable`.
    """
    if load(LocalSettings).master_key is not None:
        raise WrongSetting(
            "ROLLBOOK_MASTER_KEY", "is set, and is used instead of the file: add the new key there"
        )
    directory = DataDirectory(data_directory)
    keys = directory.add_master_key()
    if keys is None:
        raise CommandFailed(f"{data_directory} has no master key yet: `rollbook up` creates one")
    typer.echo(
        f"A new master key with id {MasterKeys.parse(keys).newest} is the first in "
        f"{directory.master_key_file}.\n"
        "Back up the file, restart `rollbook up`, then run `rollbook keys rotate`."
    )


def list_keys(data_directory: Path, *, json: bool) -> None:
    """Print a line per master key.

    Raises `KeysUnavailable`, `UnsuitableServer`, `NoRollbook` or `WrongSetting`.
    """
    url, masters = find_database(data_directory), find_master_keys(data_directory)
    rows = asyncio.run(_rows(url, masters))
    if json:
        for row in rows:
            typer.echo(msgspec.json.encode(row))
        return
    table = Table("Id", "In the list", "Wraps", "New keys")
    for row in rows:
        table.add_row(
            row.id,
            "no" if row.place is None else "newest" if row.place == 1 else f"place {row.place}",
            _keys(row.keys),
            "yes" if row.current else "no",
        )
    Console().print(table)


def rotate_keys(data_directory: Path, *, json: bool) -> int:
    """Rewrap all keys with the newest master key, and follow the job: the exit code.

    0 if no key is under another master key any more, else 1. Raises `KeysUnavailable`,
    `NoWorker`, `UnsuitableServer`, `NoRollbook` or `WrongSetting`.
    """
    url, masters = find_database(data_directory), find_master_keys(data_directory)
    asyncio.run(check_schema(url))
    report = JsonJobReport() if json else TerminalJobReport("Rotating keys")
    try:
        with report:
            job = asyncio.run(_rotate(url, masters.newest, report))
    except KeyboardInterrupt:
        raise CommandFailed("the rotation continues; the same command follows it again") from None
    if job.state != "succeeded" or job.result is None:
        raise CommandFailed(job.error or f"the rotation was {job.state}")
    result = msgspec.convert(job.result, _Result)
    if not json:
        _print_result(result, masters.ids[1:])
    return 0 if result.complete else 1


class _Result(Struct, frozen=True, kw_only=True):
    to: str
    complete: bool
    rewrapped: int
    remaining: int


async def _rows(url: str, masters: MasterKeys) -> list[KeyRow]:
    await check_schema(url)
    try:
        async with open_key_store(url) as store:
            counts, current = await store.counts(), await store.current()
    except Unavailable:
        raise KeysUnavailable("the database does not answer") from None
    return key_rows(masters.ids, counts, current)


def key_rows(listed: Sequence[str], counts: Mapping[str, int], current: str | None) -> list[KeyRow]:
    """The listed master keys in their order, then those that are missing from the list."""
    used = counts.keys() | ({current} if current else set[str]())
    places: dict[str, int | None] = {name: place for place, name in enumerate(listed, 1)}
    return [
        KeyRow(
            id=name,
            place=place,
            keys=counts.get(name, 0),
            current=name == current,
        )
        for name, place in (places | dict.fromkeys(sorted(used - places.keys()))).items()
    ]


async def _rotate(url: str, to: str, report: JobReport) -> Job:
    try:
        async with Database.open(url, size=2) as database:
            jobs = PostgresJobs(database, uuid7)
            job = await jobs.submit(KEY_ROTATION, {"to": to}, actor=ACTOR, once=KEY_ROTATION)
            if job.arguments.get("to") != to:
                raise CommandFailed(
                    f"a rotation to another key, {job.arguments.get('to')}, is not finished "
                    f"(job {job.id}): wait for it, or cancel it"
                )
            return await follow(jobs, job, report)
    except Unavailable:
        raise KeysUnavailable("the database does not answer") from None


def _print_result(result: _Result, older: Sequence[str]) -> None:
    typer.echo(f"{_keys(result.rewrapped)} rewrapped under {result.to}.")
    if result.complete:
        typer.echo("No key is under another master key now.")
        if older:
            typer.echo(
                f"You can remove {', '.join(older)} from the list; keep it with older backups."
            )
        return
    typer.echo(f"{_keys(result.remaining)} locked by other sessions: run this again.")


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count:,} keys"
