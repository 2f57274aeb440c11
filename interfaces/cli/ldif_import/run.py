"""`rollbook import FILE`: each person of an LDIF file becomes a user of a running Rollbook."""

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Final

from interfaces.cli.client.client import Remote, Stopped
from interfaces.cli.ldif_import.ldif import FileProblem
from interfaces.cli.ldif_import.order import outcomes
from interfaces.cli.ldif_import.people import read_people
from interfaces.cli.ldif_import.person import PersonImport
from interfaces.cli.ldif_import.report import ImportReport, JsonReport, TerminalReport
from interfaces.cli.ldif_import.rows import NotAPerson, Person, Refused
from interfaces.cli.target.connection import Connection, find_rollbook

STANDARD_INPUT: Final = Path("-")
_CHUNK_BYTES: Final = 1 << 16


def import_file(
    file: Path, data_directory: Path, *, update: bool, dry_run: bool, json: bool
) -> int:
    """The exit code: 0 if every person of the directory is a user, else 1.

    Raises `NoRollbook` or `WrongSetting`.
    """
    connection = find_rollbook(data_directory)
    report = JsonReport() if json else TerminalReport(_size(file))
    report.is_dry_run = dry_run
    with report, _opened(file) as opened:
        stopped = asyncio.run(_import(opened, connection, report, update=update))
    report.finish(stopped)
    is_complete = stopped is None and report.file_problem is None
    return 0 if is_complete and not report.counts["refused"] else 1


async def _import(
    file: BinaryIO, connection: Connection, report: ImportReport, *, update: bool
) -> str | None:
    """Why the run stopped before the end of the file, None if it did not."""
    chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
    try:
        async with connection.client() as client:
            remote = Remote(client)
            await remote.check()
            person_import = PersonImport(
                remote, connection.token, update=update, dry_run=report.is_dry_run
            )
            rows = _people(report.reading(chunks), report)
            async for outcome in outcomes(rows, person_import.settle):
                report.row(outcome)
    except Stopped as reason:
        return str(reason)
    return None


def _size(file: Path) -> int | None:
    return None if file == STANDARD_INPUT else file.stat().st_size


def _opened(file: Path) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if file == STANDARD_INPUT else file.open("rb")


def _people(chunks: Iterable[bytes], report: ImportReport) -> Iterator[Person | Refused]:
    for row in read_people(chunks):
        match row:
            case NotAPerson():
                report.skipped(row.what)
            case FileProblem():
                report.file_problem = row.reason
            case _:
                yield row
