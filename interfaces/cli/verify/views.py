"""`rollbook verify`: compares each view with the log, and repairs what differs."""

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
# All of them fit into 80 columns, the default width without a terminal.
_COLUMNS: Final = ("Projection", "Position", "Events", "Seen", "Checksum", "Parked", "Differ")


class Counted(Struct, frozen=True):
    events: int
    checksum: str


class Unrepaired(Struct, frozen=True):
    stream: str
    reason: str


class VerifiedSlot(Struct, frozen=True):
    """The server's findings for a partition of a generation; other members are ignored."""

    generation: int
    partition: int
    position: int
    log: Counted
    views: Counted
    parked: int
    differing: int
    streams: Sequence[str]
    counters: Sequence[str]
    repaired: int
    left: Sequence[Unrepaired]
    right: bool


class _Result(Struct, frozen=True):
    slots: Sequence[VerifiedSlot]


Found = Sequence[tuple[str, VerifiedSlot]]


def verify_views(data_directory: Path, *, repair: bool, json: bool) -> int:
    """Compare all projections with the log: the exit code, 1 if any still differs.

    Raises `Refused`, `NoRollbook` or `WrongSetting`.
    """
    try:
        found = asyncio.run(_found(data_directory, repair=repair, json=json))
    except KeyboardInterrupt:
        raise CommandFailed("the jobs continue; the same command follows them again") from None
    if json:
        for projection, slot in found:
            line = {"projection": projection, **msgspec.to_builtins(slot)}
            typer.echo(msgspec.json.encode(line))
    else:
        _show(found, repaired=repair)
    return 0 if all(slot.right for _, slot in found) else 1


async def _found(data_directory: Path, *, repair: bool, json: bool) -> Found:
    """The findings for all projections, one after the other: a job for each."""
    found: list[tuple[str, VerifiedSlot]] = []
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
            found += [(name, slot) for slot in msgspec.convert(job.result, _Result).slots]
    return found


def _show(found: Found, *, repaired: bool) -> None:
    table = Table(*_COLUMNS, *(["Repaired"] if repaired else []), box=None, pad_edge=False)
    for projection, slot in found:
        same = slot.log.checksum == slot.views.checksum
        table.add_row(
            Text(_name(projection, slot), no_wrap=True),
            _number(slot.position),
            _number(slot.log.events),
            _number(slot.views.events),
            Text("equal" if same else "differs", style="" if same else "red"),
            _number(slot.parked),
            _number(slot.differing, wrong=slot.differing > slot.repaired),
            *([_number(slot.repaired)] if repaired else []),
        )
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for projection, slot in found:
        _name_some(console, f"{_name(projection, slot)} differs:", slot.streams, slot.differing)
        _name_some(console, f"{_name(projection, slot)} miscounts:", slot.counters, 0)
        left = [f"{each.stream} ({each.reason})" for each in slot.left]
        _name_some(console, "not repaired:", left, len(left))
    console.print(_conclusion(found, repaired=repaired))


def _name_some(console: Console, what: str, names: Sequence[str], total: int) -> None:
    for name in names[:_MAX_NAMED]:
        console.print(Text(f"{what} {name}"))
    more = max(total, len(names)) - _MAX_NAMED
    if more > 0:
        console.print(f"{what} {more:,} more")


def _conclusion(found: Found, *, repaired: bool) -> str:
    if all(not slot.differing and not slot.counters for _, slot in found):
        return "All views match the log."
    if all(slot.right for _, slot in found):
        return "All differences are repaired."
    return (
        "Some differences are not repaired." if repaired else "To repair: rollbook verify --repair"
    )


def _name(projection: str, slot: VerifiedSlot) -> str:
    return f"{projection}/{slot.generation}/{slot.partition}"


def _number(number: int, *, wrong: bool = False) -> Text:
    return Text(f"{number:,}", justify="right", style="red" if wrong else "")
