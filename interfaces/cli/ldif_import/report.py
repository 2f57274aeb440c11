"""The report of an import: a progress bar and a table for people, JSON lines for programs."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, get_args

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from interfaces.cli.client.watch_job import Report
from interfaces.cli.ldif_import.order import Outcome, Result

_RESULTS: Final[tuple[Result, ...]] = get_args(Result)
_QUIET: Final = frozenset[Result]({"created", "unchanged"})
_COLOURS: Final[dict[Result, str]] = {"updated": "green", "differs": "yellow", "refused": "red"}
_MAX_SHOWN: Final = 1000


class ImportReport(Report):
    """Counts the rows by result, and the entries that are not people by kind."""

    def __init__(self) -> None:
        self.counts: dict[Result, int] = dict.fromkeys(_RESULTS, 0)
        self.others = Counter[str]()
        self.warnings = 0
        self.last_line = 0
        self.file_problem: str | None = None
        self.is_dry_run = False

    def reading(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same bytes, counted."""
        yield from chunks

    def row(self, outcome: Outcome) -> None:
        self.counts[outcome.result] += 1
        self.warnings += outcome.warning is not None
        self.last_line = outcome.line

    def skipped(self, what: str) -> None:
        self.others[what] += 1

    def finish(self, stopped: str | None) -> None:
        """Show the totals; `stopped` says why the run ended early."""


class JsonReport(ImportReport):
    """`{"line", "outcome", "reason", "warning"}` per row, then one `{"summary": {…}}`."""

    def row(self, outcome: Outcome) -> None:
        super().row(outcome)
        _print_json(
            {
                "line": outcome.line,
                "outcome": outcome.result,
                "reason": outcome.reason,
                "warning": outcome.warning,
            }
        )

    def finish(self, stopped: str | None) -> None:
        summary = {
            **self.counts,
            "warnings": self.warnings,
            "not_people": dict(self.others),
            "last_line": self.last_line,
            "dry_run": self.is_dry_run,
            "file_problem": self.file_problem,
            "stopped": stopped,
        }
        _print_json({"summary": summary})


class TerminalReport(ImportReport):
    """The bar counts bytes: the number of rows is known only at the end."""

    def __init__(self, size: int | None, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console()
        self._shown = list[Outcome]()
        self._notable = 0
        self._bar = self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]} rows"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("Importing", total=size, rows=0)

    def reading(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._bar.advance(self._task, len(chunk))
            yield chunk

    def row(self, outcome: Outcome) -> None:
        super().row(outcome)
        self._bar.update(self._task, rows=sum(self.counts.values()))
        if _is_notable(outcome):
            self._notable += 1
            if len(self._shown) < _MAX_SHOWN:
                self._shown.append(outcome)

    def finish(self, stopped: str | None) -> None:
        if self._shown:
            self._console.print(_table(self._shown))
        if self._notable > len(self._shown):
            self._print(f"… and {self._notable - len(self._shown)} more; --json shows every row.")
        self._print(", ".join(f"{count} {result}" for result, count in self.counts.items()) + ".")
        if self.others:
            counts = ", ".join(f"{what} {count}" for what, count in self.others.items())
            self._print(f"Not people: {counts}.")
        if self.is_dry_run:
            self._print("This was a dry run: nothing was changed.")
        if self.file_problem is not None:
            self._print(f"Problem of the file: {self.file_problem}.")
        if stopped is not None:
            self._print(f"Stopped after line {self.last_line}: {stopped}.")
            self._print("Run the same command again to continue; nothing is done twice.")

    def _print(self, text: str) -> None:
        self._console.print(Text(text))


def _is_notable(outcome: Outcome) -> bool:
    return outcome.result not in _QUIET or outcome.warning is not None


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("Line", "Outcome", "Why")
    for outcome in outcomes:
        colour = _COLOURS.get(outcome.result, "")
        table.add_row(
            Text(str(outcome.line), justify="right"),
            Text(outcome.result, style=colour),
            Text("; ".join(filter(None, (outcome.reason, outcome.warning)))),
        )
    return table


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value))
