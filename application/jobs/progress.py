"""Sends notifications about the progress and the result of a job."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from structlog import get_logger

from application.errors import Unavailable
from application.jobs.model import JobRun, Progress
from application.jobs.pace import Pace
from application.live.notifications import Notifier, Severity

# A shorter job sends one notification, when it is done.
_EACH_SECONDS: Final = 2.0

log = get_logger(__name__)


class ProgressNotifier:
    """Reports the progress of a job, and sends it as a notification every two seconds."""

    def __init__(
        self, notifier: Notifier, job: JobRun, title: str, clock: Callable[[], float] = monotonic
    ) -> None:
        self._notifier = notifier
        self._job = job
        self._title = title
        self._clock = clock
        self._pace = Pace(clock)
        self._notified_at = clock()

    async def report(self, done: int, total: int | None = None) -> None:
        await self._job.report(done, total)
        self._pace.report(done, total)
        if self._clock() >= self._notified_at + _EACH_SECONDS:
            await self.notify("info", progress_text(self._pace.progress))

    async def notify(self, severity: Severity, message: str) -> None:
        """Send a notification; a failure does not affect the job."""
        self._notified_at = self._clock()
        try:
            await self._notifier.notify(
                severity, f"{self._title}: {message}", f"/v1/jobs/{self._job.id}"
            )
        except Unavailable:
            log.warning("notification_lost", job=str(self._job.id), severity=severity)


def progress_text(progress: Progress) -> str:
    """The known parts of, for example, `45,000 of 100,000, 15,000/s, 4 s left`."""
    parts = [f"{progress.done:,}" + (f" of {progress.total:,}" if progress.total else "")]
    if progress.rate is not None:
        parts.append(f"{progress.rate:,.0f}/s")
    if progress.eta_seconds is not None:
        parts.append(f"{progress.eta_seconds:,.0f} s left")
    return ", ".join(parts)
