"""`rollbook import FILE`: each person of an LDIF file becomes a user of a running Rollbook."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

from interfaces.cli.client.client import Remote, Stopped
from interfaces.cli.ldif_import.ldif import UnknownVersion
from interfaces.cli.ldif_import.order import outcomes
from interfaces.cli.ldif_import.people import NotAPerson, Person, Refused, read_people
from interfaces.cli.ldif_import.person import PersonImport
from interfaces.cli.ldif_import.report import ImportReport, JsonReport, TerminalReport
from interfaces.cli.target.connection import Connection, find_rollbook


def import_file(file: Path, data_directory: Path, *, update: bool, json: bool) -> int:
    """The exit code: 0 if every row is in the directory, 1 if rows were refused or it stopped.

    Raises `NoRollbook` or `WrongSetting`.
    """
    connection = find_rollbook(data_directory)
    report = JsonReport() if json else TerminalReport(file.stat().st_size)
    with report:
        stopped = asyncio.run(_import(file, connection, report, update=update))
    report.finish(stopped)
    return 0 if stopped is None and not report.counts["refused"] else 1


async def _import(
    file: Path, connection: Connection, report: ImportReport, *, update: bool
) -> str | None:
    """Why the run stopped before the end of the file, None if it did not."""
    with file.open("rb") as lines:
        try:
            async with connection.client() as client:
                remote = Remote(client)
                await remote.check()
                person_import = PersonImport(remote, connection.token, update=update)
                rows = _people(report.reading(lines), report)
                async for outcome in outcomes(rows, person_import.settle):
                    report.row(outcome)
        except Stopped as reason:
            return str(reason)
        except UnknownVersion:
            return "the file is not LDIF of version 1"
    return None


def _people(lines: Iterable[bytes], report: ImportReport) -> Iterator[Person | Refused]:
    for row in read_people(lines):
        if isinstance(row, NotAPerson):
            report.skipped(row.what)
        else:
            yield row
