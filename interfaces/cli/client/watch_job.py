"""Shows a job while it runs: a progress bar for people, JSON lines for programs."""

from typing import Any, Self

import msgspec
import typer
from msgspec import Struct
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Report:
    """Shown while the context is open; then its bar, if any, is removed."""

    bar: Progress | None = None

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()


class JobProgress(Struct, frozen=True):
    done: int = 0
    total: int | None = None
    rate: float | None = None
    eta_seconds: float | None = None


class Job(Struct, frozen=True):
    """The members of a job that a command needs; it ignores all others."""

    id: str
    kind: str
    state: str
    progress: JobProgress = JobProgress()
    result: dict[str, Any] | None = None
    error: str | None = None


class JobReport(Report):
    """Shows nothing."""

    def show(self, job: Job) -> None:
        """Show the job as it is now."""


class JsonJobReport(JobReport):
    """Prints a line each time the job has changed, the last with its result."""

    def __init__(self) -> None:
        self._last: Job | None = None

    def show(self, job: Job) -> None:
        if job != self._last:
            self._last = job
            typer.echo(msgspec.json.encode(job))


class TerminalJobReport(JobReport):
    """A progress bar with count, rate and remaining time, on standard error."""

    def __init__(self, title: str) -> None:
        self._bar = self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(title, total=None, rate="")

    def show(self, job: Job) -> None:
        """`total` is not known before the job has begun."""
        progress = job.progress
        rate = "" if progress.rate is None else f"{progress.rate:,.0f}/s"
        self._bar.update(self._task, completed=progress.done, total=progress.total, rate=rate)
