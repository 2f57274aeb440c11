"""`rollbook verify`: compares every projection with a new build, and switches to it if asked."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
import typer
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interfaces.cli.client.calls import Refused, items_of, send_admin_command, wait_for_job
from interfaces.cli.client.client import Remote
from interfaces.cli.client.watch_job import Job, JobReport, TerminalJobReport
from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.connection import find_rollbook

_MAX_NAMED: Final = 10


class Compared(Struct, frozen=True):
    """The server's comparison; other members are ignored."""

    before: int
    after: int
    differing: int
    streams: Sequence[str]
    moving: int
    counters: Sequence[str] | None
    parked: Sequence[str]
    newly_parked: Sequence[str]


class Verified(Struct, frozen=True):
    """The result of a job `verify`."""

    projection: str
    generation: int
    replaced: int
    events: int
    compared: Compared
    switched: bool
    right: bool


def verify_views(data_directory: Path, *, repair: bool, json: bool) -> int:
    """Verify all projections: the exit code, 1 if any still differs.

    Raises `Refused`, `NoRollbook` or `WrongSetting`.
    """
    try:
        found = asyncio.run(_verified(data_directory, repair=repair, json=json))
    except KeyboardInterrupt:
        raise CommandFailed("the jobs continue; the same command follows them again") from None
    if json:
        for each in found:
            typer.echo(msgspec.json.encode(each))
    else:
        _show(found, repaired=repair)
    return 0 if all(each.right for each in found) else 1


async def _verified(data_directory: Path, *, repair: bool, json: bool) -> Sequence[Verified]:
    """The results for all projections, one after the other: a job for each."""
    found: list[Verified] = []
    async with find_rollbook(data_directory).client() as client:
        remote = Remote(client)
        for item in await items_of(remote, "/v1/projections"):
            name: str = item["name"]
            path = f"/v1/projections/{quote(name, safe='')}/verify"
            body: dict[str, Any] = {"repair": True} if repair else {}
            job = (await send_admin_command(remote, path, body)).read(Job)
            report = JobReport() if json else TerminalJobReport(f"verify {name}")
            job = await wait_for_job(remote, job, report)
            if job.state != "succeeded" or job.result is None:
                raise Refused(f"{name} was not verified: {job.error or job.state}")
            found.append(msgspec.convert(job.result, Verified))
    return found


def _show(found: Sequence[Verified], *, repaired: bool) -> None:
    table = Table(
        *("Projection", "Events", "Views", "Parked", "Changing", "Differ", "Serves"),
        box=None,
        pad_edge=False,
    )
    for each in found:
        compared = each.compared
        table.add_row(
            Text(each.projection, no_wrap=True),
            _number(each.events),
            _number(compared.before),
            _number(len(compared.parked)),
            _number(compared.moving),
            _number(compared.differing, is_wrong=not each.right),
            _number(each.generation if each.switched else each.replaced),
        )
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for each in found:
        name, compared = each.projection, each.compared
        _print_names(console, f"{name} differs:", compared.streams, compared.differing)
        _print_names(console, f"{name} miscounts:", compared.counters or ())
        _print_names(console, f"{name} cannot be built for:", compared.newly_parked)
    console.print(_conclusion(found, repaired=repaired))


def _print_names(console: Console, what: str, names: Sequence[str], total: int = 0) -> None:
    for name in names[:_MAX_NAMED]:
        console.print(Text(f"{what} {name}"))
    more = max(total, len(names)) - _MAX_NAMED
    if more > 0:
        console.print(f"{what} {more:,} more")


def _conclusion(found: Sequence[Verified], *, repaired: bool) -> str:
    if all(each.right and not each.switched for each in found):
        return "All views match the log."
    if all(each.right for each in found):
        return "All differences are repaired."
    if repaired:
        return "Not repaired: this release cannot apply all events (rollbook projections parked)."
    return "To repair: rollbook verify --repair"


def _number(number: int, *, is_wrong: bool = False) -> Text:
    return Text(f"{number:,}", justify="right", style="red" if is_wrong else "")
